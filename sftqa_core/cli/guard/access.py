"""Where the explorer listens, who may come in, and what a person is told about it at start."""

from __future__ import annotations

import ipaddress
import secrets
import socket
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from typing import TextIO

from sftqa_core.errors import SettingsError

LOGINS = ("none", "token", "streamlit")
TOKEN_VARIABLE = "SFTQA_TOKEN"
LOGIN_VARIABLE = "SFTQA_LOGIN"  # how `sftqa app --login` reaches the server that takes its process's place
SHORTEST_TOKEN = 16
_MEBIBYTE = 1024 * 1024
_RECIPE = f"Make one: export {TOKEN_VARIABLE}=\"$(python3 -c 'import secrets; print(secrets.token_urlsafe(32))')\""


@dataclass(frozen=True)
class Access:
    """What one server lets in. Made by `checked`, which refuses what is not safe."""

    host: str  # the address it listens on; empty means every address
    login: str = "none"  # none, token, or streamlit (the organisation's own, configured there as [auth])
    base: str = ""  # what stands before every path, as "/explorer"
    origins: tuple[str, ...] = ()  # other origins that may connect (server.corsAllowedOrigins)
    upload_mebibytes: int = 200  # the largest file a person may upload

    @property
    def local(self) -> bool:
        """Whether only programs of this machine can connect."""
        return is_loopback(self.host)

    def body_limit(self, path: str) -> int:
        """The largest request body in bytes: uploads as configured plus what their form adds, everything else 1 MiB."""
        upload = path.startswith(f"{self.base}/_stcore/upload_file/")
        return (self.upload_mebibytes + 1 if upload else 1) * _MEBIBYTE


def is_loopback(host: str) -> bool:
    """Whether a name or address can only mean this machine. A name that merely resolves to it does not count."""
    name = host.strip("[]").lower()
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


def checked(access: Access, port: int = 8501) -> Access:
    """The same access. Raises `SettingsError` when others could connect and nothing asks who they are."""
    if access.login not in LOGINS:
        raise SettingsError(f"The login must be one of {', '.join(LOGINS)}, got {access.login!r}.")
    if not access.local and access.login == "none":
        place = f"On {access.host}" if access.host else "On every address of this machine"
        raise SettingsError(
            f"{place} others could open the explorer and start jobs as you, so it does not start that way.\n"
            f"For yourself, from another machine: leave it on 127.0.0.1 and run there\n    {tunnel(port)}\n"
            f"For others: sftqa app --host {access.host or '0.0.0.0'} --share, which asks everyone for a token ({TOKEN_VARIABLE}), or\n"
            f"--share --login streamlit for your organisation's own login."
        )
    return access


def check_token(environment: Mapping[str, str], terminal: TextIO) -> str | None:
    """The token that the environment holds, None when a new one can be made up.

    Raises `SettingsError` when it is too short, or when there is none and a new one would be printed into a file. Only a
    terminal is told a token: what else standard output is, is kept by somebody.
    """
    told = environment.get(TOKEN_VARIABLE)
    if told is None and not terminal.isatty():
        raise SettingsError(
            f"A token is needed, {TOKEN_VARIABLE} is not set, and a new one is shown on a terminal only, which this is not.\n{_RECIPE}"
        )
    if told is not None and len(told.strip()) < SHORTEST_TOKEN:
        raise SettingsError(f"{TOKEN_VARIABLE} must have at least {SHORTEST_TOKEN} characters, got {len(told.strip())}.\n{_RECIPE}")
    return told and told.strip()


def take_token(environment: MutableMapping[str, str], terminal: TextIO) -> tuple[str, bool]:
    """The token, and whether it was made up here. It leaves the environment, so that no job's process inherits it.

    Raises as `check_token`.
    """
    told = check_token(environment, terminal)
    environment.pop(TOKEN_VARIABLE, None)
    return told or secrets.token_urlsafe(32), told is None


def tunnel(port: int, host: str | None = None) -> str:
    """The command that brings a loopback port of this machine to the one it is typed on."""
    return f"ssh -L {port}:127.0.0.1:{port} {host or socket.gethostname() or 'HOST'}"


def address(access: Access, port: int, tls: bool = False) -> str:
    """What to type into the browser's address bar."""
    host = socket.gethostname() if access.host in ("", "0.0.0.0", "::") else access.host
    return f"{'https' if tls else 'http'}://{f'[{host}]' if ':' in host else host}:{port}{access.base}"


def notice(access: Access, port: int, tls: bool = False, new_token: str | None = None) -> str:
    """What is open to whom. `new_token` is told here and nowhere else."""
    everyone = f"everyone who reaches {access.host or 'any address'} port {port} of this machine"
    where = "every account of this machine, and of no other" if access.local else everyone
    asks = {"none": "", "token": ", who has the token", "streamlit": ", whom your organisation's login lets in"}[access.login]
    lines = [f"SFT-QA Explorer: {address(access, port, tls)}", f"Open to: {where}{asks}. Who is in can start jobs as you."]
    if access.local and access.login == "none":
        lines.append("If other people have accounts here: sftqa app --login token")
    if access.local:
        lines.append(f"From another machine, type there: {tunnel(port)}")
    elif not tls:
        lines.append(f"Not encrypted. Where the network is not yours alone, leave it on 127.0.0.1 and use: {tunnel(port)}")
    if new_token is not None:
        lines.append(f"Token, shown this once: {new_token}")
    return "\n".join(f"  {line}" for line in lines)
