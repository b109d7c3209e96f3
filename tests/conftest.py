"""Every test works in a workspace of its own; what takes long to make is made once for all workers of a run (pytest-xdist)."""

import gc
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from filelock import FileLock

from sftqa_core import processes
from tests.amount import FULL
from tests.browser.explorers import browser, hub, many, nothing, shipped, started, visit  # noqa: F401, they are fixtures
from tests.forking import Parents, fork_together, start_anew

gc.disable()  # until everything is imported: it would find nothing
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")  # else bitsandbytes, which peft imports, loads torch's compiler into every process

MEMORY = "/dev/shm"  # a folder in memory, on Linux
if "TMPDIR" not in os.environ and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > 4 * 2**30:
    # Thousands of results are written, each brought to the disk before it gets its name: there nothing waits for a disk.
    os.environ["TMPDIR"] = tempfile.tempdir = MEMORY


@pytest.fixture
def fake_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A hub on this machine that takes the hub's place, for this process and what it starts."""
    from tests.fake_hub import FakeHub, online

    served = FakeHub()
    with online(served, tmp_path / "hf", monkeypatch):
        yield served
    served.close()


@pytest.fixture(autouse=True)
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A temporary user layer over the shipped one."""
    from sftqa_core.workspace import Workspace

    monkeypatch.setenv("SFTQA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SFTQA_STATE", str(tmp_path / "state"))
    return Workspace.current()


@pytest.fixture(scope="session", autouse=True)
def parents(made_once: Callable[..., Path]) -> Iterator[Parents]:
    """What processes are forked from (forking.py), made before any test has changed the environment."""
    made = Parents(made_once("parents", lambda folder: None), os.environ)
    if sys.platform == "linux":
        processes.start = made.start
        fork_together(made.everything)
    yield made
    processes.start = start_anew


@pytest.fixture(autouse=True)
def anew(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests that are marked `anew` start processes as ever."""
    if request.node.get_closest_marker("anew"):
        monkeypatch.setattr(processes, "start", start_anew)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What is marked `full` is left out of an ordinary run (tests/amount.py)."""
    left_out = [] if FULL else [item for item in items if item.get_closest_marker("full")]
    if left_out:
        items[:] = [item for item in items if not item.get_closest_marker("full")]
        config.hook.pytest_deselected(items=left_out)


def pytest_collection_finish() -> None:
    """What is imported by now stays: no collection of garbage need walk through it (accelerate collects twice a training)."""
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="module", autouse=True)
def frozen():
    """The same for what a file of tests leaves behind."""
    yield
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], object]], Path]:
    """`made_once(name, make)`: the folder that `make(folder)` has filled, for every worker of the run the same. Nobody may change it."""
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent

    def folder(name: str, make: Callable[[Path], object]) -> Path:
        place, whole = root / name, root / f"{name}.whole"
        with FileLock(root / f"{name}.lock"):
            if not whole.exists():
                shutil.rmtree(place, ignore_errors=True)
                place.mkdir()
                make(place)
                whole.touch()
        return place

    return folder


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What harm tests/faults did, if any: its kind, how often, and what came of it."""
    table: dict[str, tuple[int, list[str]]] = {}
    for report in (report for reports in terminalreporter.stats.values() for report in reports):
        if getattr(report, "when", None) == "teardown":
            for name, times, outcomes in (row for kind, row in report.user_properties if kind == "harm"):
                before = table.get(name, (0, []))
                table[name] = before[0] + times, list(dict.fromkeys([*before[1], *outcomes]))
    if not table:
        return
    terminalreporter.section("harm, times tried, outcome")
    width = max(map(len, table))
    for name, (times, outcomes) in table.items():
        terminalreporter.write_line(f"{name:<{width}}  {times:>6,}  {'; '.join(outcomes)}")
