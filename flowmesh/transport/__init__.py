"""Sockets between hosts: control, data and admin links over ZeroMQ with CURVE."""
