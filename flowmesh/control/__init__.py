"""Who must do what next: Machines that decide and never act. No socket, no clock, no thread is to be found here."""
