"""Between hosts: ZeroMQ sockets with CURVE. Only this package imports zmq, and no zmq.ZMQError leaves it."""
