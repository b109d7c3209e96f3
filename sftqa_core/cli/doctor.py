"""`sftqa doctor`: checks of the installation, each with what to do when it fails."""

import importlib.metadata
import platform
import subprocess
import sys
from typing import Any

from sftqa_core.artifacts import damaged_files, write_bytes
from sftqa_core.models.devices import resolve_device, why_no_gpu
from sftqa_core.models.hub.fetch import has_token
from sftqa_core.models.quantising import INSTALL, PACKAGE
from sftqa_core.planning.preflight import disk_check
from sftqa_core.workspace import Workspace, network_disk

# package -> (what needs it, may be missing)
PACKAGES = {
    "torch": ("probing, training", True),
    "transformers": ("probing, training", True),
    "peft": ("LoRA", True),
    "accelerate": ("training", True),
    "pandas": ("everything", False),
    "pyarrow": ("everything", False),
    "streamlit": ("the explorer", True),
    "plotly": ("the explorer", True),
    "datasets": ("facts from the hub or a saved dataset", True),
    PACKAGE: ("weights in 4 bits (--quantize nf4)", True),
}
ASK_TORCH = (
    "import torch; print(torch.cuda.get_device_name(0) if torch.cuda.is_available() "
    "else 'Apple' if torch.backends.mps.is_available() else '')"
)


def findings() -> list[dict[str, Any]]:
    """One row a check: name, ok, optional (its failure leaves the rest usable), and a sentence."""
    good = (3, 11) <= sys.version_info[:2] <= (3, 13)
    python = _row("python", good, platform.python_version() + ("" if good else "; use 3.11, 3.12 or 3.13"))
    packages = [_package(name, *rest) for name, rest in PACKAGES.items()]
    disk = disk_check([], Workspace.current().root)
    login = "logged in to the hub" if has_token() else "not logged in to the hub; only gated models need it: hf auth login"
    known = [_row("disk", disk.state == "ok", disk.line, True), _row("hub login", True, login, True)]
    return [python, *packages, _device(), *_folders(), *known, *_shipped()]


def _row(name: str, ok: bool, message: str, optional: bool = False) -> dict[str, Any]:
    return {"check": name, "ok": ok, "optional": optional, "message": message}


def _package(name: str, used_for: str, optional: bool) -> dict[str, Any]:
    try:
        return _row(name, True, importlib.metadata.version(name), optional)
    except importlib.metadata.PackageNotFoundError:
        wanted = {"torch": "torch==2.13.0", PACKAGE: INSTALL.removeprefix("pip install ")}.get(name, name)
        return _row(name, False, f"not installed; needed for {used_for}. Install: pip install {wanted}", optional)


def _device() -> dict[str, Any]:
    # torch is asked in a process of its own: this command stays quick to start and survives a broken driver
    try:
        done = subprocess.run([sys.executable, "-c", ASK_TORCH], capture_output=True, text=True, timeout=120, check=False)
    except subprocess.TimeoutExpired:
        return _row("device", False, "torch did not answer within two minutes; reinstall it", True)
    if done.returncode:
        return _row("device", False, f"torch can't be used: {(done.stderr.strip().splitlines() or ['no message'])[-1]}", True)
    chosen = resolve_device("auto")
    if chosen == "cpu":
        return _row("device", True, f"cpu is used for auto: {why_no_gpu()}", True)
    gpu = done.stdout.strip()
    if not gpu:
        return _row("device", False, "there is a GPU, but torch can't use it; choose device cpu, or install a fitting torch", True)
    return _row("device", True, f"{chosen} ({gpu}) is used for auto", True)


def _folders() -> list[dict[str, Any]]:
    workspace, rows = Workspace.current(), []
    for name, folder in (("cache", workspace.root), ("state", workspace.state)):
        probe = folder / ".doctor"
        try:
            write_bytes(probe, b"")
            probe.unlink()
        except OSError as error:
            rows.append(_row(name, False, f"{folder} is not writable ({error.strerror}); set SFTQA_{name.upper()} to a folder that is"))
            continue
        kind = network_disk(folder) if name == "state" else None
        advice = "locks and the queue's file are unreliable there; set SFTQA_STATE to a folder on this machine's own disk"
        rows.append(_row(name, not kind, f"{folder} is on a network disk ({kind}): {advice}" if kind else str(folder), bool(kind)))
    return rows


def _shipped() -> list[dict[str, Any]]:
    rows = []
    for manifest in sorted(Workspace.current().shipped.rglob("manifest.json")):
        bad = damaged_files(manifest.parent)
        message = f"damaged: {', '.join(bad)}" if bad else "files match their checksums"
        rows.append(_row(f"shipped {manifest.parent.name}", not bad, message))
    return rows or [_row("shipped", False, "the built-in model and results are missing; install the package again", True)]
