"""`sftqa exposures` from end to end, with a model that lies in the hub's cache and a count service on this machine."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from sftqa_core import reading, workflows
from sftqa_core.cli.main import main
from sftqa_core.memory.corpus_counts import CountStore
from sftqa_core.models.corpora import count_service
from sftqa_core.records import PAPER, ExposureSettings, ProbeSettings
from sftqa_core.workflows import upkeep
from tests.fake_counts import INDEX, FakeCounts, counting
from tests.workflows.conftest import PLACES, RELATIONS

MODEL = "EleutherAI/pythia-160m"
REVISION = "0123456789abcdef0123456789abcdef01234567"


def put_on_hub(folder: Path, name: str, home: Path) -> None:
    """Make a folder a model that was fetched from the hub."""
    place = home / "hub" / f"models--{name.replace('/', '--')}"
    shutil.copytree(folder, place / "snapshots" / REVISION, ignore=shutil.ignore_patterns("manifest.json", "exposures.parquet"))
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text(REVISION)


@pytest.fixture
def hub_model(world, workspace, tmp_path, monkeypatch) -> str:
    """The source's name; the tiny model is called Pythia here."""
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    put_on_hub(workspace.models / "tiny", MODEL, tmp_path / "hf")
    return world


@pytest.fixture
def online(monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(count_service, "PAUSES_S", (0.01, 0.04))


@pytest.fixture
def quick(monkeypatch):
    """No pause between requests; that there is one is tests/models/test_count_service.py's."""
    init = count_service.CountService.__init__
    monkeypatch.setattr(count_service.CountService, "__init__", lambda self, *given: init(self, *given[:4], 0.0, *given[5:]))


def counts() -> dict[str, int]:
    subjects = {f"{relation.lower()} test {number:02d}": 3 * number for relation in RELATIONS for number in range(8)}
    return subjects | dict.fromkeys(PLACES, 70_000)


def run(capsys, *arguments: str, code: int = 0) -> str:
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main(["exposures", *arguments])
    assert ended.value.code == code
    told = capsys.readouterr()
    return told.out if code == 0 else told.err


def asked_of(fake: FakeCounts, source: str, *more: str) -> list[str]:
    return ["--model", MODEL, "--source", source, "--service", fake.address, *more]


def test_nothing_is_sent_without_yes(hub_model, online, quick, capsys):
    """What would be sent is shown: to whom, how many facts and requests, the first of them, the corpus."""
    with counting(counts=counts()) as fake:
        told = run(capsys, *asked_of(fake, hub_model))
        assert fake.asked == []
        assert told.startswith(
            f"To be sent to {fake.address}, a public service that writes down what it is asked: the subjects and answers of 32 facts"
        )
        assert "in at most 68 requests, which take 48 s or more. Such as:" in told
        assert " test 0" in told.splitlines()[1]
        assert " AND " in told.splitlines()[3]
        assert "It counts them in the Pile (v4_piletrain_llama), which EleutherAI/pythia-160m was trained on." in told
        assert told.endswith("Nothing was sent. Send it: the same command with --yes\n")
        plan = json.loads(run(capsys, *asked_of(fake, hub_model, "--json")))
        assert (plan["asked"], plan["missing"], plan["plan"]["requests"]) == (None, 32, 68)
        assert fake.asked == []


def test_with_yes_it_is_sent_kept_and_compared(hub_model, online, quick, capsys):
    """Then it stands beside the memory score of facts that were probed; a second call sends nothing."""
    with counting(counts=counts(), together={name: count // 2 for name, count in counts().items()}) as fake:
        told = run(capsys, *asked_of(fake, hub_model, "--yes"))
        assert "32 facts counted in 64 requests, kept in " in told  # four subjects occur nowhere
        assert "None of the counted facts has a level yet: sftqa probe" in told
        file = told.split("kept in ")[1].split("exposures.parquet")[0] + "exposures.parquet"
        assert Path(file).is_file()
        workflows.probe(ProbeSettings(MODEL, hub_model, device="cpu"))
        before = len(fake.asked)
        told = run(capsys, *asked_of(fake, hub_model, "--yes"))
        assert len(fake.asked) == before
        assert "Counts of all 32 facts that can be asked about are kept. Nothing was sent." in told
        assert f"Counts in the Pile, subject and answer within 100 tokens of each other, {fake.address}:" in told
        assert "  32 facts: rank correlation of R with texts that name subject and answer together" in told
        assert "A text that names both need not state the fact." in told
        assert "stated" not in told
        read = reading.exposures(MODEL, hub_model)
        assert (len(read), tuple(read.columns)) == (32, reading.EXPOSURES)
        known = workflows.exposures(MODEL, hub_model)
        assert (known.index, known.window, known.service, len(known.table)) == (INDEX, 100, fake.address, 32)
        every, exact = known.ranks
        assert (every.facts, every.estimated, exact.facts) == (32, 28, 4)
        assert known.table["estimated"].sum() == 28
        assert set(known.table["level"]) <= set(PAPER.labels)


def test_limits_take_the_facts_that_a_probe_takes(hub_model, online, quick, capsys):
    """So that those have counts which have levels."""
    with counting(counts=counts()) as fake:
        run(capsys, *asked_of(fake, hub_model, "--limit", "8", "--yes"))
        workflows.probe(ProbeSettings(MODEL, hub_model, limit=8, device="cpu"))
        known = workflows.exposures(MODEL, hub_model)
        assert (len(known.table), known.ranks[0].together) == (8, None)


def test_models_of_one_corpus_share_its_counts(hub_model, workspace, tmp_path, online, quick, capsys):
    """They are of the corpus, not of the model; a model of another corpus has none."""
    put_on_hub(workspace.models / "tiny", "EleutherAI/pythia-410m", tmp_path / "hf")
    with counting(counts=counts()) as fake:
        run(capsys, *asked_of(fake, hub_model, "--yes"))
        before = len(fake.asked)
        told = run(capsys, "--model", "EleutherAI/pythia-410m", *asked_of(fake, hub_model, "--yes")[2:])
        assert len(fake.asked) == before
        assert "Counts of all 32 facts" in told


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--model", "HuggingFaceTB/SmolLM2-360M"), "can't be asked about: no index holds the mixture that it was trained on"),
        (("--model", "atlas-llama"), "atlas-llama is not a model of the hub by its name there"),
        (("--model", MODEL, "--index", "v4_rpj_llama_s4"), "which is the index v4_piletrain_llama, got v4_rpj_llama_s4"),
        (("--model", MODEL, "--service", "http://counts.example.org/"), "Facts are sent over https, or to this machine"),
        (("--model", MODEL, "--source", "atlas"), "atlas is an invented world, which no real corpus speaks of"),
        (("--model", MODEL, "--pause", "0.1"), "pause_s must be"),
        (("--model", MODEL, "--window", "5000"), "window must be"),
    ],
)
def test_what_can_not_be_asked_is_refused_before_anything_is_sent(hub_model, online, capsys, arguments, words):
    """A sentence each."""
    with counting(counts=counts()) as fake:
        rest = [] if "--service" in arguments else ["--service", fake.address]
        rest += [] if "--source" in arguments else ["--source", hub_model]
        assert words in run(capsys, *arguments, *rest, "--yes", code=1)
        assert fake.asked == []


def test_nothing_is_sent_while_the_hub_is_offline(hub_model, online, capsys, monkeypatch):
    """Who cut the hub off has cut this off, too; what would be sent can still be seen."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with counting(counts=counts()) as fake:
        told = run(capsys, *asked_of(fake, hub_model, "--yes"), code=1)
        assert "HF_HUB_OFFLINE is set, so nothing is sent anywhere. Unset it to ask the count service." in told
        assert "Nothing was sent." in run(capsys, *asked_of(fake, hub_model))
        assert fake.asked == []


def test_a_service_that_is_down_says_so_in_a_sentence(hub_model, online, quick, capsys):
    """No traceback, and what to do."""
    with counting(trouble="down") as fake:
        told = run(capsys, *asked_of(fake, hub_model, "--yes"), code=1)
        assert "is busy or down (503). Counts of 0 facts are kept; the same command goes on from there." in told
        assert "Traceback" not in told


def test_the_cache_knows_counts(hub_model, online, quick, capsys, workspace):
    """They are listed, checked byte for byte, and no page shows what is damaged."""
    before = workflows.exposures_stamp()
    assert before == ""
    with counting(counts=counts()) as fake:
        run(capsys, *asked_of(fake, hub_model, "--yes"))
        assert workflows.exposures_stamp() != ""
        assert {holding.kind: holding.results for holding in upkeep.holdings() if holding.own}["exposures"] == 1
        file = CountStore(fake.address, INDEX).file
        file.write_bytes(file.read_bytes()[:-9] + b"x" * 9)
        (fault,) = [fault for fault in upkeep.faults(workspace) if fault.own]
        assert (fault.kind, fault.state) == ("exposures", "damaged")
        assert workflows.exposures(MODEL, hub_model) is None


def test_a_model_without_a_known_corpus_has_no_counts(world):
    """Nor has one where nobody asked."""
    assert workflows.exposures("tiny", world) is None
    assert workflows.exposures("Qwen/Qwen2.5-0.5B", world) is None
    assert tuple(reading.exposures("tiny", world).columns) == reading.EXPOSURES


def test_settings_say_no_to_what_is_no_setting():
    """Bounds are the service's own."""
    assert (ExposureSettings("m", "f").window, ExposureSettings("m", "f").pause_s) == (100, 0.5)
    assert ExposureSettings.from_dict(ExposureSettings("m", "f", window=10).to_dict()).window == 10
