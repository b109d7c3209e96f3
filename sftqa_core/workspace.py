"""The only code that knows where files are kept.

A workspace is two layers: the folder a person's work goes to (SFTQA_CACHE, else `cache/` beside a checkout's
app.py, else `cache/` in the current folder) and, under it, the files that ship with the program, which are only read.

Beside them lie bundles that were imported from other explorers (workflows/bundles/), each a small workspace of its own. They are no layer:
whatever looks a result up in order to use it again goes through `layers`, and never sees one. What lies in one is only read where a person
names it, as import:BUNDLE:NAME (`holding`).
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from urllib.parse import quote, unquote_plus

from sftqa_core.records.result_names import bundle_of, own_name

PACKAGE = Path(__file__).resolve().parent
_PLACE = re.compile(r"/\w|~/|\.\.?/|[A-Za-z]:[\\/]|\\\\|[A-Za-z]+://")  # what only a path or an address begins with
_NETWORK = ("nfs", "cifs", "smb", "afs", "ceph", "lustre", "gpfs", "beegfs", "gluster", "fuse.sshfs", "fuse.gluster", "9p", "davfs")


def app_folder() -> Path:
    """The folder of app.py and pages/: the checkout's root, or the copy inside an installed wheel."""
    bundle = PACKAGE / "bundle"
    return bundle if (bundle / "app.py").exists() else PACKAGE.parent


def shipped_folder() -> Path:
    """The read-only layer: built-in models and their results. SFTQA_SHIPPED names another (to make everything anew)."""
    if chosen := os.environ.get("SFTQA_SHIPPED"):
        return Path(chosen).expanduser().absolute()
    bundle = PACKAGE / "bundle" / "shipped"
    return bundle if bundle.exists() else PACKAGE.parent / "cache" / "shipped"


def query_without_places(query: str) -> str:
    """What stands behind a source's question mark, of each path or address in it the last part: columns stay, as they are written."""
    return "&".join(map(_pair_without_place, query.split("&")))


def _pair_without_place(pair: str) -> str:
    key, equals, value = pair.partition("=")
    place = unquote_plus(value or key)
    if not _PLACE.match(place.strip()):
        return pair
    last = quote(PureWindowsPath(place.partition("?")[0].rstrip("/\\ ")).name or "unnamed", safe=" ()")  # knows both kinds of slashes
    return f"{key}={last}" if value else f"{last}{equals}"


def typed_path(name: str) -> tuple[Path, str]:
    """A name that a person typed as a path, and what is there: "folder", "file", or "" for nothing that can be looked at. For models
    and fact sources, which also have names and hub ids."""
    try:
        path = Path(name).expanduser()
    except RuntimeError:  # ~someone, who has no home here
        return Path(name), ""
    try:
        return path, "" if not name or not path.exists() else "folder" if path.is_dir() else "file"
    except (OSError, ValueError):  # too long a name, a folder that must not be looked into
        return path, ""


def network_disk(path: Path) -> str | None:
    """The kind of network file system ("nfs4") that a path lies on, or will; None for a disk of this machine, or an unknown one."""
    import psutil

    place = path.absolute()
    mounts = {Path(part.mountpoint): part.fstype for part in psutil.disk_partitions(all=True)}
    kind = next((mounts[folder] for folder in (place, *place.parents) if folder in mounts), "")
    return kind if kind.lower().startswith(_NETWORK) else None


@dataclass(frozen=True)
class Workspace:
    """Paths of one user's layer and of the shipped one under it."""

    root: Path
    shipped: Path

    @classmethod
    def current(cls) -> "Workspace":
        """The workspace this process works in; reads the environment each time, so tests can redirect it."""
        chosen = os.environ.get("SFTQA_CACHE")
        if chosen:
            root = Path(chosen).expanduser()
        elif (PACKAGE.parent / "app.py").exists():
            root = PACKAGE.parent / "cache"
        else:
            root = Path.cwd() / "cache"
        return cls(root.absolute(), shipped_folder())

    @property
    def layers(self) -> tuple[Path, Path]:
        """Both layers in the order of look-ups: the user's first."""
        return (self.root, self.shipped)

    @property
    def models(self) -> Path:
        """Pre-trained models made here, one folder each."""
        return self.root / "models"

    @property
    def gguf(self) -> Path:
        """Models that were read from GGUF files, one folder each, named by what was read and by what."""
        return self.root / "gguf"

    @property
    def servers(self) -> Path:
        """What is known of models on servers, one folder a name."""
        return self.root / "servers"

    @property
    def runs(self) -> Path:
        """Finished fine-tuning runs, one folder each."""
        return self.root / "runs"

    @property
    def datasets(self) -> Path:
        """Downloaded fact sources."""
        return self.root / "datasets"

    @property
    def uploads(self) -> Path:
        """Fact files handed over in the browser."""
        return self.root / "uploads"

    @property
    def studies(self) -> Path:
        """Studies that were started, one YAML file each; their runs' results lie apart, since studies share them."""
        return self.root / "studies"

    @property
    def reports(self) -> Path:
        """Reports of finished studies, which can be computed again from their cells."""
        return self.root / "reports"

    @property
    def labels(self) -> Path:
        """What the person says about runs and studies, one JSON file each; those that ship can be labelled, too."""
        return self.root / "labels"

    @property
    def deleted(self) -> Path:
        """Runs and studies that were deleted and can come back, one folder each."""
        return self.root / "deleted"

    @property
    def imports(self) -> Path:
        """Bundles that were imported, one folder each; no layer."""
        return self.root / "imports"

    def bundle(self, name: str) -> "Workspace":
        """An imported bundle as a workspace of its own, with nothing under it."""
        return Workspace(self.imports / name, self.imports / name / "nothing")

    def holding(self, name: str) -> tuple["Workspace", str]:
        """Where the run, cell or study of that name lies, and its name there: this workspace, or an imported bundle."""
        bundle = bundle_of(name)
        return (self.bundle(bundle), own_name(name)) if bundle else (self, name)

    @property
    def unfinished(self) -> Path:
        """Checkpoints of interrupted trainings, from which the same training resumes."""
        return self.root / "unfinished"

    @property
    def cluster(self) -> Path:
        """What this machine and the workers of a cluster leave for each other, one folder for each work while it is done."""
        return self.root / "cluster"

    @property
    def aliases(self) -> Path:
        """The table of objects that count as the same, as the person edited it."""
        return self.root / "aliases.csv"

    @property
    def added_models(self) -> Path:
        """Names of models that the person put on the lists."""
        return self.root / "added_models.json"

    @property
    def adapter_bases(self) -> Path:
        """Where the base models of adapters lie, as the person said it."""
        return self.root / "adapter_bases.json"

    @property
    def state(self) -> Path:
        """Queue and leases (SQLite and locks): a local disk; SFTQA_STATE overrides."""
        chosen = os.environ.get("SFTQA_STATE")
        return Path(chosen).expanduser().absolute() if chosen else self.root / "state"

    @property
    def drivers(self) -> Path:
        """Logs of the drivers of a cluster's work, kept of work that failed."""
        return self.state / "cluster"

    @property
    def jobs(self) -> Path:
        """One folder a job: progress, log, stop request."""
        return self.state / "jobs"
