"""Fails unless this process sees no network but its own, which has no other machine in it."""

import socket


def main() -> int:
    """0 where that is so."""
    return int([name for _, name in socket.if_nameindex()] != ["lo"])
