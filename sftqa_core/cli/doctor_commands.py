"""`sftqa doctor`: checks the installation, devices and folders, a finding a line."""

import importlib.metadata
import platform
import subprocess
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

from sftqa_core.artifacts import damaged_files, write_bytes
from sftqa_core.errors import ArtifactDamaged, OtherVersion, SftqaError, reason
from sftqa_core.models import devices, quantising
from sftqa_core.models.hub.fetch import has_token
from sftqa_core.planning.cluster_address import PACKAGE, cluster_address, knock, require_ways
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
    quantising.PACKAGE: ("weights in 4 bits (--quantize nf4)", True),
    "gguf": ("models in GGUF files", True),
}
_KNOCK_S = 5.0
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
    return [python, *packages, _device(), _bfloat16(), *_folders(), *known, *_cluster(), *_shipped()]


def _row(name: str, ok: bool, message: str, optional: bool = False) -> dict[str, Any]:
    return {"check": name, "ok": ok, "optional": optional, "message": message}


def _package(name: str, used_for: str, optional: bool) -> dict[str, Any]:
    try:
        return _row(name, True, importlib.metadata.version(name), optional)
    except importlib.metadata.PackageNotFoundError:
        wanted = {"torch": "torch==2.13.0", quantising.PACKAGE: quantising.INSTALL.removeprefix("pip install ")}.get(name, name)
        return _row(name, False, f"not installed; needed for {used_for}. Install: pip install {wanted}", optional)


def _device() -> dict[str, Any]:
    # torch is asked in a process of its own: this command stays quick to start and survives a broken driver
    try:
        done = subprocess.run([sys.executable, "-c", ASK_TORCH], capture_output=True, text=True, timeout=120, check=False)
    except subprocess.TimeoutExpired:
        return _row("device", False, "torch did not answer within two minutes; reinstall it", True)
    if done.returncode:
        return _row("device", False, f"torch can't be used: {(done.stderr.strip().splitlines() or ['no message'])[-1]}", True)
    chosen = devices.resolve_device("auto")
    if chosen == "cpu":
        return _row("device", True, f"cpu is used for auto: {devices.why_no_gpu()}", True)
    gpu = done.stdout.strip()
    if not gpu:
        return _row("device", False, "there is a GPU, but torch can't use it; choose device cpu, or install a torch build for it", True)
    several = devices.gpu_names()
    which = f"; --device chooses among {', '.join(f'{name} ({model})' for name, model in several.items())}" if len(several) > 1 else ""
    return _row("device", True, f"{chosen} ({gpu}) is used for auto{which}", True)


def _bfloat16() -> dict[str, Any]:
    """Whether a probe on the processor gains by --number-format bfloat16."""
    native = devices.processor_bfloat16()
    if native is None:
        return _row("bfloat16", False, "not known here whether the processor computes in it, so it is not offered", True)
    if not native:
        return _row("bfloat16", False, "the processor does not compute in it; float32 is faster", True)
    return _row("bfloat16", True, f"the processor computes in it ({native}); a probe does with --number-format bfloat16", True)


def _cluster() -> list[dict[str, Any]]:
    """Whether the cluster that is named can be connected to, as far as that is known without Ray; nothing where none is named."""
    try:
        address = cluster_address()
        if not address:
            return []
        require_ways(address)
        knock(address, _KNOCK_S)
    except (SftqaError, OSError) as error:
        said = (
            f"nobody answers at {address} ({reason(error)}); is its head started? See docs/cluster.md"
            if isinstance(error, OSError)
            else str(error)
        )
        return [_row("cluster", False, said, True)]
    version = importlib.metadata.version(PACKAGE)
    return [_row("cluster", True, f"something listens at {address}; a token is set; ray {version}, which all nodes must have", True)]


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
    """One line for all that is whole, and one for each folder that is not."""
    shipped = Workspace.current().shipped
    folders = sorted(manifest.parent for manifest in shipped.rglob("manifest.json"))
    if not folders:
        return [_row("shipped", False, "the built-in model and results are missing; install the package again", True)]
    damaged = {folder.relative_to(shipped).as_posix(): what for folder in folders if (what := _damage(folder))}
    rows = [_row(f"shipped {name}", False, f"damaged: {what}; install the package again") for name, what in damaged.items()]
    whole = f"the files of {len(folders) - len(damaged)} of {len(folders)} built-in models and results match their checksums"
    return [_row("shipped", not damaged, whole), *rows]


def _damage(folder: Path) -> str:
    """The files that are not as they were shipped; empty when all are."""
    try:
        return ", ".join(damaged_files(folder))
    except (ArtifactDamaged, OtherVersion):
        return "manifest.json"


def doctor(options: Namespace) -> dict[str, Any]:
    """`sftqa doctor`: what works here and what to do about the rest."""
    rows = findings()
    return {"ok": all(row["ok"] or row["optional"] for row in rows), "checks": rows}
