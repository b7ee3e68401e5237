"""The rules of delivery in seeded schedules: the real Machines in a world of virtual time, crashes and late messages."""
