"""Channels between the processes of one host: packet sockets, shared slots, counter pages, and message sockets."""
