"""Fails unless this process sees no network but its own, which has no other machine in it."""

import socket

assert [name for _, name in socket.if_nameindex()] == ["lo"], socket.if_nameindex()
