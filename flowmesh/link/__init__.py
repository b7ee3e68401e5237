"""Between hosts: ZeroMQ sockets with CURVE, keys and allow-lists. Nothing else imports zmq, and no ZMQError leaves."""
