"""Work with a model on a server, through the workflows that pages, commands and jobs call."""

from dataclasses import replace

import pandas as pd
import pytest

from sftqa_core import workflows
from sftqa_core.artifacts import write_json
from sftqa_core.errors import ModelUnavailable, SettingsError
from sftqa_core.memory import profiles
from sftqa_core.models.serving import addresses, server_client
from sftqa_core.planning.preflight import preflight
from sftqa_core.progress import Recorder
from sftqa_core.records import (
    SLICK,
    CompleteSettings,
    LevelScheme,
    ProbeSettings,
    PromptFormat,
    Question,
    SamplerSettings,
    StudySettings,
    SweepSettings,
    TrainSettings,
)
from sftqa_core.training import runs
from sftqa_core.workflows import upkeep
from sftqa_core.workflows.asking import questions
from sftqa_core.workspace import Workspace
from tests.amount import in_full
from tests.fake_server import serving
from tests.tiny import byte_level_tokenizer

SCHEME = LevelScheme(sampling=SamplerSettings(samples=2, max_new_tokens=4))


@pytest.fixture(autouse=True)
def nobody_waits(monkeypatch):
    monkeypatch.setattr(addresses, "_typed", set())
    monkeypatch.setattr(server_client, "PAUSES_S", (0.01, 0.02))
    monkeypatch.setattr("sftqa_core.models.serving.server_trial.DRAWS", 128)


@pytest.fixture
def fake(tmp_path):
    tokenizer = byte_level_tokenizer()
    tokenizer.save_pretrained(tmp_path / "words")
    with serving(tokenizer) as server:
        addresses.allow_typed(server.name)
        yield server


def levels_of(settings):
    """What is stored, as pages read it."""
    return profiles.levels_reader(settings)(settings)


def settings_of(fake, source, **more):
    return ProbeSettings(fake.name, source, "test", limit=more.pop("limit", 4), scheme=more.pop("scheme", SCHEME), **more)


class TestProbing:
    """Levels of a served model."""

    def test_levels_are_kept_and_not_measured_again(self, fake, world):
        """A second probe asks the server who it is, and for no sample; a larger one asks for the facts that are missing."""
        first = workflows.probe(settings_of(fake, world))
        samples = len(fake.sampled)
        again = workflows.probe(settings_of(fake, world))
        assert again.levels == first.levels
        assert again.facts_per_s is None
        assert len(fake.sampled) == samples
        workflows.probe(settings_of(fake, world, limit=6))
        templates = (len(fake.sampled) - samples) / 2
        assert templates == 21

    def test_read_without_the_server(self, fake, world):
        """Pages show what was measured while the server is gone, and it is nobody else's."""
        result = workflows.probe(settings_of(fake, world))
        count = len(fake.asked)
        table = levels_of(settings_of(fake, world))
        assert len(table) == 4
        assert len(levels_of(replace(settings_of(fake, world), model="tiny"))) == 0
        assert sum(map(sum, result.levels.values())) == 4
        assert len(fake.asked) == count

    def test_another_model_is_measured_anew(self, fake, world):
        """Behind the same name: its facts have no levels yet."""
        workflows.probe(settings_of(fake, world))
        fake.seed = 1
        assert workflows.probe(settings_of(fake, world)).facts_per_s is not None

    def test_resumes_after_the_server_died(self, fake, world, monkeypatch):
        """Whole facts are kept; the next probe asks for the others only."""
        monkeypatch.setattr("sftqa_core.memory.probing._SERVED_PART", 1)
        monkeypatch.setattr(server_client, "TRIES", 1)
        monkeypatch.setattr("sftqa_core.models.serving.served_models.MOST_AT_ONCE", 1)
        fake.trouble, fake.cut = "broken", 2 + 60
        with pytest.raises(ModelUnavailable, match="can't be reached"):
            workflows.probe(settings_of(fake, world))
        kept = len(levels_of(settings_of(fake, world)))
        assert 1 <= kept <= 3
        fake.trouble, before = "", len(fake.sampled)
        workflows.probe(settings_of(fake, world))
        assert len(fake.sampled) - before == 21 * (4 - kept)

    def test_slick(self, fake, world):
        """Questions after answered ones, sampled among the 40 likeliest and greedily."""
        scheme = replace(SLICK, sampling=replace(SLICK.sampling, samples=2, max_new_tokens=4), contexts=2, shots=1)
        result = workflows.probe(settings_of(fake, world, scheme=scheme, limit=2))
        assert sum(map(sum, result.levels.values())) == 2
        assert {body["top_k"] for body in fake.sampled if body["prompt"].startswith("Q: ") or "\nQ: " in body["prompt"]} == {40}

    def test_likelihood(self, fake, world, tmp_path):
        """By echoed log-probabilities at temperature 1, once a tokenizer is named; the score is the mean over the templates."""
        scheme = replace(SCHEME, method="likelihood", sampling=replace(SCHEME.sampling, temperature=1.0))
        with pytest.raises(SettingsError, match="--tokenizer NAME"):
            workflows.probe(settings_of(fake, world, scheme=scheme))
        workflows.add_model(fake.name, tokenizer=str(tmp_path / "words"))
        workflows.probe(settings_of(fake, world, scheme=scheme, limit=1))
        (row,) = levels_of(settings_of(fake, world, scheme=scheme, limit=1)).to_dict("records")
        assert 0 < row["score"] < 0.1
        with pytest.raises(SettingsError, match=r"temperature 1 alone, got 0\.7"):
            workflows.probe(settings_of(fake, world, scheme=replace(SCHEME, method="likelihood")))

    @in_full
    def test_trust_beside_a_model_of_this_machine(self, fake, world):
        """Both full probes on the same facts."""
        workflows.probe(settings_of(fake, world, limit=8))
        workflows.probe(replace(settings_of(fake, world, limit=8), model="tiny", device="cpu"))
        report = workflows.trust("tiny", world, scheme=SCHEME, against=fake.name)
        assert report.agreements[fake.name].facts == 8

    @in_full
    def test_selection_by_levels_of_another_model(self, fake, world, tmp_path):
        """Levels that one model had are never those of the one that the server has now, though both have the same name."""
        facts, few = pd.read_csv(world), tmp_path / "few.csv"
        pd.concat([facts[facts["split"] == "train"].head(6), facts[facts["split"] == "test"].head(2)]).to_csv(few, index=False)
        settings = TrainSettings(fake.name, str(few), n=2, levels=(0,), scheme=SCHEME)
        workflows.select(settings, tmp_path / "first.jsonl")
        fake.seed = 1
        workflows.select(replace(settings, n=4), tmp_path / "second.jsonl")
        assert len({path.parent.name for path in Workspace.current().root.glob("completions/*/part-*.parquet")}) == 2


class TestOtherWork:
    """Answers, questions, and what a server can't give."""

    def test_answers_are_tested_without_training(self, fake, world):
        """A run on no examples: base answers, k-shot and per level; nothing is tuned."""
        summary = workflows.train(TrainSettings(fake.name, world, n=0, scheme=SCHEME, max_answer_tokens=4, shots=2, test_limit=2))
        assert summary.n == 0
        assert {"few_shot", "majority"} <= summary.baselines.keys()
        run = runs.read_run(summary.run)
        assert run.manifest["device"] == "server"
        assert run.settings.learning_rate is None

    def test_no_tuning(self, fake, world):
        """Preflight says what the work refuses, by the same sentence."""
        settings = TrainSettings(fake.name, world, n=8, scheme=SCHEME)
        with pytest.raises(SettingsError, match="can't be tuned here") as refused:
            workflows.train(settings)
        (problem,) = preflight(settings).of("problem")
        assert str(refused.value).startswith(problem.said)

    def test_studies_and_sweeps(self, fake, world):
        """Both need tuning, so both are refused before the server is asked anything."""
        study = StudySettings("amount", (fake.name,), world, sizes=(0, 8), scheme=SCHEME)
        sweep = SweepSettings(TrainSettings(fake.name, world, n=8, scheme=SCHEME), (1e-4, 1e-3))
        for work in (lambda: workflows.study(study), lambda: workflows.sweep(sweep)):
            with pytest.raises((SettingsError, ModelUnavailable), match=r"can't be tuned here|has not been asked yet"):
                work()
        for settings in (study, sweep):
            assert [problem for problem in preflight(settings).of("problem") if "can't be tuned here" in problem.said]
        assert fake.asked == []

    def test_own_texts(self, fake):
        """Templates that a person tries out are completed there, too."""
        done = workflows.complete(CompleteSettings(fake.name, ("Ann was born in", "Bo lives in"), samples=3, max_new_tokens=4))
        assert [len(texts) for texts in done.texts] == [3, 3]

    def test_damaged_name_on_the_list(self, workspace):
        """It hides no other model, and says what is wrong."""
        write_json(workspace.added_models, {"schema": 1, "models": ["http://h:1/v1?x=1#m"]})
        offers = {offer.card.name: offer for offer in workflows.offered_models("cpu").offers}
        assert offers["http://h:1/v1?x=1#m"].state == "unusable"
        assert "no address of a served model" in offers["http://h:1/v1?x=1#m"].todo
        assert "atlas-llama" in offers

    def test_adaptive_and_4_bits(self, fake, world):
        """What a server can't do is refused before it is asked."""
        for settings in (settings_of(fake, world, scheme=replace(SCHEME, method="adaptive")), settings_of(fake, world, quantization="nf4")):
            with pytest.raises(SettingsError, match="is on a server"):
                workflows.probe(settings)
        assert fake.asked == []

    def test_preflight_asks_nobody(self, fake, world):
        """It says where the model is, that its samples are the server's, and needs no model's RAM."""
        report = preflight(settings_of(fake, world))
        lines = " ".join(check.line for check in report.checks)
        assert not report.of("problem")
        assert "It will be asked at 127.0.0.1" in lines
        assert "server's own random numbers" in lines
        assert "The model itself runs on its server" in lines
        assert fake.asked == []

    def test_question(self, fake, world):
        """Greedy answer with the likeliest tokens of each step, and samples; of texts no given answer is scored."""
        asked = workflows.ask(Question("Where was Ann born?", samples=3, max_new_tokens=4, prompt=PromptFormat()), [fake.name])
        (reply,) = asked.replies
        assert (reply.device, reply.dtype) == ("server", "server")
        assert 1 <= len(reply.steps) <= 4
        assert all(step.probability == step.top[0].probability for step in reply.steps)
        assert sum(sampled.count for sampled in reply.samples) == 3
        with pytest.raises(SettingsError, match="The probability of given answers needs the tokenizer"):
            workflows.ask(Question("Who?", samples=1, answers=("Ann",)), [fake.name])

    def test_first_reply_is_found_again(self, fake):
        """A question has the same key before and after its server was first asked, and another once another model answers there."""
        question = Question("Who?", samples=1, max_new_tokens=2)
        (before,) = questions.columns(question, [fake.name])
        workflows.ask(question, [fake.name])
        assert questions.columns(question, [fake.name])[0].fingerprint() == before.fingerprint()
        fake.seed = 1
        workflows.ask(question, [fake.name])
        assert questions.columns(question, [fake.name])[0].fingerprint() != before.fingerprint()

    def test_given_answers(self, fake, tmp_path):
        """With a tokenizer their probability is that of the server's own table."""
        workflows.add_model(fake.name, tokenizer=str(tmp_path / "words"))
        asked = workflows.ask(Question("Ann was born in", kind="statement", samples=1, max_new_tokens=2, answers=("Rome",)), [fake.name])
        ((scored,),) = [reply.scored for reply in asked.replies]
        ids = fake.tokenizer("Ann was born in Rome")["input_ids"]
        start = len(ids) - scored.tokens
        table = fake.logprobs()
        assert scored.logprob == pytest.approx(sum(table[ids[at - 1], ids[at]] for at in range(start, len(ids))))
        assert scored.end_logprob == pytest.approx(table[ids[-1], fake.tokenizer.eos_token_id])

    def test_list(self, fake, workspace):
        """An added server stands on the list without being asked; one that may not be asked says how it is allowed."""
        workflows.add_model(fake.name)
        (offer,) = [offer for offer in workflows.offered_models("cpu").offers if offer.card.kind == "server"]
        assert (offer.state, offer.todo, offer.added) == ("server", "", True)
        addresses._typed.clear()
        (offer,) = [offer for offer in workflows.offered_models("cpu").offers if offer.card.kind == "server"]
        assert "SFTQA_ENGINES=" in offer.todo
        assert fake.asked == []

    def test_job_is_refused_where_the_address_was_not_allowed(self, fake, world):
        """A background job has its worker's environment alone."""
        addresses._typed.clear()
        with pytest.raises(SettingsError, match="not among the servers that may be asked"):
            workflows.run_job("probe", settings_of(fake, world).to_dict(), Recorder(), "job")
        assert fake.asked == []

    def test_cache_knows_them(self, fake, world, workspace):
        """What is known of a served model is listed, and checked; damage is told."""
        workflows.probe(settings_of(fake, world))
        assert [(h.kind, h.results) for h in upkeep.holdings() if h.kind == "served models"] == [("served models", 1)]
        (path,) = workspace.servers.glob("*/identities.json")
        path.write_text("[]")
        assert [fault.kind for fault in upkeep.verify()[1] if fault.state == upkeep.DAMAGED] == ["served models"]
