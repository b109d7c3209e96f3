"""With no network nothing hangs, nothing is even tried, and nothing is missing that was once downloaded.

HF_HUB_OFFLINE is not set here: a person whose network is gone has not set it either.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.forking import EVERYTHING, Parent

ROOT = Path(__file__).parents[1]
CUT = ROOT / "tests" / "offline"
HUB = "owner/tiny"
ONLINE_SETTINGS = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE")


@pytest.fixture(scope="session")
def hub_home(made_once: Callable[[str, Callable[[Path], object]], Path]) -> Path:
    """An HF_HOME in which a tiny model lies as the hub's client leaves it: refs, snapshots, and blobs that they link to."""
    return made_once("hub", _fill_home)


def _fill_home(home: Path) -> None:
    import torch

    from sftqa_core.artifacts import sha256
    from sftqa_core.models.pretraining import build_model, save_tokenizer, train_tokenizer
    from sftqa_core.records import PretrainSettings

    made = home / "made"
    tokenizer = train_tokenizer(["Velor was born in Tamil.", "Q: Where was Velor born?\nA: Tamil"] * 20, 400)
    torch.manual_seed(0)
    settings = PretrainSettings(name="tiny", hidden_size=32, layers=1, heads=2, intermediate_size=48)
    build_model(settings, tokenizer.get_vocab_size()).save_pretrained(made)
    save_tokenizer(tokenizer, made)
    revision, folder = "0123456789abcdef" * 2 + "01234567", home / "hub" / "models--owner--tiny"
    for part in ("refs", "blobs", f"snapshots/{revision}"):
        (folder / part).mkdir(parents=True)
    (folder / "refs" / "main").write_text(revision)
    for file in made.iterdir():
        blob = folder / "blobs" / sha256(file)
        shutil.move(file, blob)
        (folder / "snapshots" / revision / file.name).symlink_to(f"../../blobs/{blob.name}")


def _environment(home: Path, place: Path) -> dict[str, str]:
    """That of a process which is cut off, with what it tries in `place`/tried.txt."""
    path = os.pathsep.join([str(CUT), str(ROOT)])
    kept = {name: value for name, value in os.environ.items() if name not in ONLINE_SETTINGS}
    return {**kept, "PYTHONPATH": path, "OFFLINE_LOG": str(place / "tried.txt"), "HF_HOME": str(home), "HOME": str(place)}


@pytest.fixture(scope="session")
def cut_off(hub_home: Path) -> Parent:
    """A process that is cut off and has imported what commands need; what importing tried is in hub_home/tried.txt."""
    return Parent(hub_home / "parent", *EVERYTHING, environment=_environment(hub_home, hub_home))


class Offline:
    """Runs commands in processes that are cut off, and reads what they tried."""

    def __init__(self, tmp_path: Path, home: Path, parent: Parent):
        self.logs = [home / "tried.txt", tmp_path / "tried.txt"]
        self.environment = _environment(home, tmp_path)
        self._parent = parent

    def run(self, *words: str, limit_s: float = 240, apart: bool = False, **more: str) -> subprocess.CompletedProcess:
        """A module with its arguments; `apart` in a network of its own with nothing in it."""
        return self._parent.run(*words, environment={**self.environment, **more}, limit_s=limit_s, apart=apart)

    @property
    def tried(self) -> list[str]:
        """What the processes wanted of other machines."""
        return [line for log in self.logs if log.exists() for line in log.read_text().splitlines()]

    @property
    def waited_s(self) -> float:
        """How long they would have waited for a network that never answers, one wait after the other."""
        return sum(float(line.split()[1]) for line in self.tried if line.startswith("waits ") and line.endswith(" s"))


@pytest.fixture
def offline(tmp_path, workspace, hub_home, cut_off) -> Offline:
    return Offline(tmp_path, hub_home, cut_off)


def test_the_main_path_tries_nothing_and_misses_nothing(offline):
    """Models, facts, probes, full fine-tuning, LoRA and a study's report, with each way out refused and none tried, and where neither
    libraries of the browser nor packages for GPUs can be imported. Every page: test_light_processes.py."""
    command = [sys.executable, "-m", "tests.offline.main_path", HUB]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=offline.environment, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    seen = json.loads(done.stdout.splitlines()[-1])
    assert offline.tried == []
    listed = {model["name"]: model for model in seen["models"]["models"]}
    assert (listed["atlas-llama"]["available"], listed[HUB]["available"], listed[HUB]["kind"]) == (True, True, "hub")
    assert seen["facts"]["facts"] > 1000
    assert (seen["probe"]["facts"], seen["hub probe"]["facts"]) == (3, 3)
    assert seen["probe"]["facts_per_s"] > 0
    assert [(seen[how]["n"], seen[how]["after"]["in"]["natural_n"]) for how in ("full", "lora")] == [(10, 20), (4, 10)]
    assert "error" not in seen["study"]


def test_the_refusal_is_real(offline):
    """What this file's other tests rest on: a look-up and a connection are refused and written down, this machine is not."""
    script = """
import socket, urllib.request
for address in ("http://example.com/", "http://192.0.2.1/"):
    try:
        urllib.request.urlopen(address, timeout=5)
    except OSError as error:
        print(error)
with socket.create_server(("127.0.0.1", 0)) as here:
    socket.create_connection(here.getsockname()).close()
    print("here")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=offline.environment, check=False)
    assert offline.tried == ["look up example.com", "connect 192.0.2.1:80"]
    assert done.stdout.splitlines()[-1] == "here"


def test_a_hub_model_that_is_not_here_is_told_at_once(offline):
    """One sentence that names the model and what to do, in a few seconds, for the command and without a traceback."""
    began_s = time.monotonic()
    command = [sys.executable, "-m", "sftqa_core.cli", "probe", "--model", "owner/absent", "--limit", "2", "--json"]  # a cold start counts
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=offline.environment, timeout=60, check=False)
    took_s = time.monotonic() - began_s
    told = json.loads(done.stdout)["error"]
    assert done.returncode == 1
    assert "owner/absent" in told
    assert any(words in told for words in ("can't be reached", "Check the connection"))
    assert "Traceback" not in done.stderr
    assert offline.tried
    assert took_s < 30


@pytest.mark.parametrize("model", ["owner/absent"])
def test_a_network_that_never_answers_does_not_hang(offline, model):
    """Each connection has a time-out; the sentence comes all the same."""
    began_s = time.monotonic()
    done = offline.run("sftqa_core.cli.main", "probe", "--model", model, "--limit", "2", "--json", limit_s=120, OFFLINE_SILENT="1")
    took_s = time.monotonic() - began_s + offline.waited_s
    assert model in json.loads(done.stdout)["error"]
    assert offline.waited_s > 0
    assert "waits for ever" not in offline.tried
    assert took_s < 60


def test_facts_that_are_not_here_are_told_at_once(offline):
    """The download of EntityQuestions and a dataset of the hub: a sentence with the way round, no traceback."""
    done = offline.run("sftqa_core.cli.main", "facts", "--source", "entity-questions", "--download", "--json")
    assert "Is this machine online? If you have the files, set SFTQA_ENTITY_QUESTIONS" in json.loads(done.stdout)["error"]
    done = offline.run("sftqa_core.cli.main", "facts", "--source", "hub:owner/facts", "--json")
    assert "owner/facts is not available: this machine is offline and has no copy of it" in json.loads(done.stdout)["error"]
    assert "Traceback" not in done.stderr
    began_s = time.monotonic()
    done = offline.run("sftqa_core.cli.main", "facts", "--source", "hub:owner/facts", "--json", limit_s=120, OFFLINE_SILENT="1")
    assert "owner/facts is not available" in json.loads(done.stdout)["error"]
    assert time.monotonic() - began_s + offline.waited_s < 60


def test_the_server_starts_and_answers(offline, tmp_path):
    """`sftqa app` serves its page with each way out refused, and tries none, also for its own lines at start."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = [sys.executable, "-m", "sftqa_core.cli", "app", "--port", str(port), "--no-browser"]
    with (tmp_path / "server.log").open("wb") as output:
        server = subprocess.Popen(words, cwd=ROOT, env=offline.environment, stdout=output, stderr=subprocess.STDOUT)
    try:
        assert b"<title>" in _answer(f"http://127.0.0.1:{port}/", server)
    finally:
        server.terminate()
        server.wait(timeout=60)
    assert offline.tried == []
    assert "SFT-QA Explorer: http://127.0.0.1" in (tmp_path / "server.log").read_text()


def _answer(url: str, server: subprocess.Popen, patience_s: float = 180) -> bytes:
    end_s = time.monotonic() + patience_s
    while time.monotonic() < end_s and server.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return answer.read()
        except OSError:
            time.sleep(0.2)
    pytest.fail("The explorer did not answer.")


def test_without_any_network_at_all(offline):
    """The same in a network namespace with nothing in it, below Python: a hub model once fetched is probed, another is told about."""
    if offline.run("tests.offline.apart", apart=True).returncode:
        pytest.skip("this machine does not let a test cut itself off")
    quick = ("--samples", "1", "--max-new-tokens", "4", "--limit", "2", "--device", "cpu", "--json")
    began_s = time.monotonic()
    done = offline.run("sftqa_core.cli.main", "probe", "--model", HUB, *quick, apart=True)
    assert json.loads(done.stdout)["facts"] == 2, done.stderr[-2000:]
    probed_s = time.monotonic() - began_s
    done = offline.run("sftqa_core.cli.main", "probe", "--model", "owner/absent", *quick, apart=True)
    assert "owner/absent" in json.loads(done.stdout)["error"]
    assert time.monotonic() - began_s - probed_s < probed_s + 20
