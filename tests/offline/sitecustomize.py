"""Cuts a Python process, and every one it starts, off the network: put this folder on PYTHONPATH.

Whatever would leave this machine is refused and written down, one line a try, in the file OFFLINE_LOG names. With
OFFLINE_SILENT set the network is there and never answers, which is what hangs programs: a connection would wait for its own
time-out, which is written down and not waited for ("waits 10.0 s"), and one that has none is written down as "waits for ever".
"""

import errno
import ipaddress
import os
import socket

_connect, _connect_ex, _lookup = socket.socket.connect, socket.socket.connect_ex, socket.getaddrinfo


def _address(host: object) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(str(host).partition("%")[0])
    except ValueError:
        return None


def _near(host: object) -> bool:
    name = host.decode() if isinstance(host, bytes) else host
    found = _address(name)
    return name in (None, "", "localhost", socket.gethostname()) or (found is not None and found.is_loopback)


def _silent() -> bool:
    return bool(os.environ.get("OFFLINE_SILENT"))


def _told(what: str) -> None:
    with open(os.environ["OFFLINE_LOG"], "a", encoding="utf-8") as log:
        log.write(f"{what}\n")


def _leaves(connection: socket.socket, address: object) -> bool:
    return connection.family in (socket.AF_INET, socket.AF_INET6) and isinstance(address, tuple) and not _near(address[0])


def _refuse(connection: socket.socket, address: tuple) -> OSError:
    _told(f"connect {address[0]}:{address[1]}")
    if _silent():
        wait_s = connection.gettimeout()
        if wait_s is None:
            _told("waits for ever")
            return OSError(errno.ETIMEDOUT, "cut off")
        _told(f"waits {wait_s} s")
        return TimeoutError("timed out")
    return OSError(errno.ENETUNREACH, "Network is unreachable")


def connect(self: socket.socket, address: object) -> None:
    if _leaves(self, address):
        raise _refuse(self, address)
    _connect(self, address)


def connect_ex(self: socket.socket, address: object) -> int:
    if _leaves(self, address):
        return _refuse(self, address).errno or errno.ETIMEDOUT
    return _connect_ex(self, address)


def getaddrinfo(host: object, port: object, *more: object, **named: object) -> list:
    if _near(host) or _address(host):  # a number needs no look-up; whether it may be reached is asked at the connection
        return _lookup(host, port, *more, **named)
    _told(f"look up {host}")
    if _silent():  # the name is known, the way is not
        return _lookup("192.0.2.1", port, *more, **named)
    raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")


socket.socket.connect, socket.socket.connect_ex, socket.getaddrinfo = connect, connect_ex, getaddrinfo
