"""Where the cluster is that work may be spread over: SFTQA_CLUSTER, and what has to be said before anything goes there."""

import importlib.util
import os
import re
import socket
from collections.abc import Sequence
from pathlib import Path

from sftqa_core.errors import MissingPackage, SettingsError
from sftqa_core.models.serving.addresses import is_server

VARIABLE = "SFTQA_CLUSTER"
SPREAD = ("study", "sweep", "probe")  # kinds of work that are made of pieces
PACKAGE = "ray"
_TOKEN = Path("~/.ray/auth_token")
_ADDRESS = re.compile(r"(?!auto$|local$)[A-Za-z0-9][A-Za-z0-9.-]*:\d{1,5}|\[[0-9A-Fa-f:]+\]:\d{1,5}")


def cluster_address() -> str:
    """The cluster that the person named; empty where there is none. Raises `SettingsError`."""
    address = os.environ.get(VARIABLE, "").strip()
    return checked_address(address) if address else ""


def checked_address(address: str) -> str:
    """The same address. Raises `SettingsError` for anything but a machine and a port: what Ray would look for by itself, or start, is
    never used."""
    if not _ADDRESS.fullmatch(address):
        raise SettingsError(f"The address of a cluster is that of its head, machine:port (192.0.2.7:6379), got {address!r}.")
    return address


def installed() -> bool:
    """Whether Ray is; it is not imported."""
    return importlib.util.find_spec(PACKAGE) is not None


def require_ways(address: str) -> None:
    """Raise what stands in the way of connecting to the cluster at this address as far as this machine alone knows: `SettingsError`
    for what is no address, or where no token is set, `MissingPackage`."""
    checked_address(address)
    if not installed():
        raise MissingPackage("Work on a cluster needs the package ray. Install: pip install 'sftqa-explorer[cluster]'")
    if not (os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH") or _TOKEN.expanduser().exists()):
        raise SettingsError(
            f"No token for the cluster at {address}: set RAY_AUTH_TOKEN (or RAY_AUTH_TOKEN_PATH, a file with it) to the same secret on all "
            "nodes and here. Without one, everybody on the network could run programs on it."
        )


def knock(address: str, patience_s: float) -> None:
    """Come back when something listens at this address. Raises OSError."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), patience_s).close()
    except (ValueError, OverflowError) as error:  # a name or port that there can't be
        raise OSError(f"{address} is no address: {error}") from error


def goes_to(kind: str, models: Sequence[str]) -> str:
    """The cluster that work of this kind goes to; empty: none. What models on servers answer needs none. Raises `SettingsError`."""
    spread = kind in SPREAD and not (models and all(map(is_server, models)))
    return cluster_address() if spread else ""


def warning(address: str) -> str:
    """What a person should know before work goes there."""
    return (
        f"The pieces are done by the Ray cluster at {address}. Ray listens on all network interfaces of its machines, also where it was "
        "started for one alone: use it only on a network you trust."
    )
