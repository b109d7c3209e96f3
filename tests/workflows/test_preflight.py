"""Every point that is looked at before work, in order, worth knowing, unknown and in the way."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sftqa_core import workflows
from sftqa_core.errors import ModelUnavailable, SettingsError
from sftqa_core.models import devices
from sftqa_core.models.catalogue import find_model
from sftqa_core.models.devices import DeviceRam
from sftqa_core.models.hub.fetch import HubAnswer
from sftqa_core.planning import preflight as looking
from sftqa_core.planning import preflight_model
from sftqa_core.planning.fit import Fit
from sftqa_core.planning.preflight import Writing, device_check, disk_check, footprint_check, packages_check, tell, trial_check
from sftqa_core.planning.preflight_model import Looked, chat_check, look_at
from sftqa_core.progress import Silent
from sftqa_core.records import (
    PROMPTS,
    Check,
    LevelScheme,
    Preflight,
    ProbeSettings,
    PromptFormat,
    SamplerSettings,
    StudySettings,
    TrainSettings,
)
from tests.chats import FAMILIES

GB = 10**9
MODEL = "atlas-llama"
POINTS = {
    "model", "licence", "access", "tokenizer", "beginning", "end", "padding", "chat", "prompt", "answers", "context", "packages",
    "device", "facts", "memory", "trial", "disk",
}  # fmt: skip
RUN = TrainSettings(MODEL, device="cpu")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of a built-in model as a person's own folder."""
    made = Path(shutil.copytree(find_model(MODEL).path or "", tmp_path / "own"))
    (made / "manifest.json").unlink()
    return made


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch):
    """Pretend so much is free on every disk."""

    def pretend(free: float) -> None:
        monkeypatch.setattr(looking.shutil, "disk_usage", lambda path: SimpleNamespace(free=int(free), total=10**12))

    return pretend


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch):
    """Pretend that the hub says this of every model that is not here."""

    def pretend(answer: HubAnswer | Exception) -> None:
        def ask(name: str) -> HubAnswer:
            if isinstance(answer, Exception):
                raise answer
            return answer

        monkeypatch.setattr(preflight_model, "ask_hub", ask)

    return pretend


def change(folder: Path, name: str, **values: Any) -> None:
    (folder / name).write_text(json.dumps({**json.loads((folder / name).read_text()), **values}))


def points(settings: Any) -> dict[str, Check]:
    return {check.name: check for check in workflows.preflight(settings).checks}


# --- the whole ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [RUN, ProbeSettings(MODEL, device="cpu", split="train", limit=50)], ids=["train", "probe"])
def test_a_built_in_model_is_in_order_on_every_point(settings):
    """One line says so, and every point is a sentence."""
    found = workflows.preflight(settings)
    assert {check.name for check in found.checks} == POINTS
    assert len(found.checks) == len(POINTS)
    assert found.ok
    assert {check.state for check in found.checks} == {"ok"}, found.of("note", "unknown", "problem")
    assert all(check.said.endswith(".") for check in found.checks)
    assert found.headline() == "Checked: nothing stands in the way (17 points)"


def test_a_forecast_that_is_known_is_not_made_again(monkeypatch):
    """A page has it already, and the findings are the same."""
    cost = workflows.forecast(RUN)
    wanted = workflows.preflight(RUN)
    monkeypatch.setattr(looking, "forecast", lambda settings: pytest.fail("made again"))
    found = workflows.preflight(RUN, cost)
    assert [c for c in found.checks if c.name not in ("memory", "disk")] == [c for c in wanted.checks if c.name not in ("memory", "disk")]


def test_a_study_looks_at_each_model_and_once_at_the_machine():
    """Findings about a model carry its name."""
    found = workflows.preflight(StudySettings("amount", (MODEL, "atlas-qwen"), sizes=(30,), seeds=(9,), device="cpu"))
    assert found.kind == "study"
    assert [check.about for check in found.checks if check.name == "end"] == [MODEL, "atlas-qwen"]
    assert [check.about for check in found.checks if check.name == "disk"] == [""]
    assert found.ok


def test_a_model_that_is_not_there_ends_the_looking():
    """What depends on it is left out; the rest is told, and the headline counts."""
    found = workflows.preflight(replace(RUN, model="nope"))
    assert not found.ok
    assert [check.name for check in found.checks] == ["model", "packages", "device"]
    assert found.checks[0].said == "There is no model named 'nope'."
    assert found.checks[0].fix.startswith("On this machine: atlas-llama")
    assert found.headline() == "Checked: 1 thing stands in the way (3 points)"


def test_findings_go_through_json_and_a_problem_needs_its_fix():
    """The record that was written is the record that is read."""
    found = workflows.preflight(replace(RUN, model="nope"))
    assert Preflight.from_dict(json.loads(json.dumps(found.to_dict()))) == found
    with pytest.raises(SettingsError, match="A problem must come with its fix, got 'It is broken' alone"):
        Check("model", "problem", "It is broken")
    with pytest.raises(SettingsError, match="state must be one of ok, note, unknown, problem, got 'bad'"):
        Check("model", "bad", "It is broken", "Mend it")


def test_the_log_of_a_job_says_what_is_not_in_order(world, workspace):
    """The headline, then notes and problems with their fixes; what is in order takes no line."""
    lines: list[str] = []
    log = Silent()
    log.log = lines.append  # type: ignore[method-assign]
    chat, end = Check("chat", "note", "A chat model.", "Choose chat."), Check("end", "problem", "None.", "Set it.", "m")
    checks = (Check("model", "ok", "Here."), chat, end)
    tell(Preflight("train", checks), log)
    assert lines == [
        "Checked: 1 thing stands in the way, 1 to know (3 points).",
        "note: A chat model. Choose chat.",
        "problem: m: None. Set it.",
    ]
    lines.clear()
    scheme = LevelScheme(sampling=SamplerSettings(samples=1, max_new_tokens=2))
    workflows.run_job("probe", ProbeSettings("tiny", world, limit=2, scheme=scheme, device="cpu").to_dict(), log, "token")
    assert lines[0].startswith("Checked: nothing stands in the way")


# --- the model ------------------------------------------------------------------------------------------------


def test_half_a_folder_is_a_problem(folder: Path):
    """Weights that are missing are named."""
    (folder / "model.safetensors").unlink()
    found = points(replace(RUN, model=str(folder)))["model"]
    assert found.state == "problem"
    assert "holds no *.safetensors file" in found.said


def test_a_model_of_another_kind_and_one_with_code_are_notes(folder: Path):
    """Loading decides; a person knows before."""
    change(folder, "config.json", auto_map={"AutoModel": "code.py"})
    assert "auto_map" in points(replace(RUN, model=str(folder)))["model"].said
    change(folder, "config.json", architectures=["BertForMaskedLM"])
    found = points(replace(RUN, model=str(folder)))["model"]
    assert (found.state, found.said) == ("note", "Its configuration names BertForMaskedLM, which is not a causal language model.")


def test_a_folder_names_no_licence(folder: Path):
    """Unknown is said as such; nothing stands in the way."""
    found = workflows.preflight(replace(RUN, model=str(folder)))
    assert [check.name for check in found.of("unknown")] == ["licence"]
    assert found.ok


def test_a_model_that_the_hub_has_is_looked_at_as_far_as_that_goes(hub, disk, monkeypatch):
    """Size, licence and login; its tokenizer and its context are unknown, its memory is told by its size."""
    disk(500 * GB)
    hub(HubAnswer(3 * GB, 1_500_000_000, "apache-2.0", False, chat_template=True))
    monkeypatch.setattr(devices, "device_ram", lambda device: DeviceRam(40 * GB, 64 * GB))
    found = points(replace(RUN, model="owner/Name-Instruct", method="lora"))
    assert found["model"].said == "owner/Name-Instruct is not on this machine yet; the hub has it, 3.0 GB to download."
    assert (found["licence"].said, found["access"].said) == ("Licence: apache-2.0.", "It can be downloaded without a login.")
    assert (found["tokenizer"].state, found["answers"].state, found["context"].state) == ("unknown",) * 3
    assert found["memory"].said == "Judged by its size alone, it needs at least 6.0 GB of RAM; 40 GB is free."
    assert (found["chat"].state, found["chat"].fix) == ("note", "Choose the prompt chat.")
    assert found["disk"].said == "Disk: 3.0 GB will be written, and 497 GB remain free."


def test_a_download_without_room_is_a_problem(hub, disk):
    """Told before the first byte, with the variable that names another place."""
    disk(2 * GB)
    hub(HubAnswer(15 * GB, None, "llama3", False))
    found = points(replace(RUN, model="owner/name"))
    assert found["disk"].state == "problem"
    assert found["disk"].said.endswith("owner/name's download needs 15 GB.")
    assert found["disk"].fix == "Free some space, or set HF_HOME to a folder on another disk."
    assert found["licence"] == Check(
        "licence",
        "note",
        "Its licence is llama3, which may set conditions.",
        "Read it on the model's page before you publish results or weights.",
    )


def test_a_size_that_the_machine_cannot_hold_is_a_problem(hub, monkeypatch):
    """By the number of parameters alone."""
    hub(HubAnswer(140 * GB, 70 * GB, "llama2", False))
    monkeypatch.setattr(devices, "device_ram", lambda device: DeviceRam(40 * GB, 64 * GB))
    found = points(replace(RUN, model="owner/name"))["memory"]
    assert (found.state, found.fix) == ("problem", "Choose a smaller model or LoRA.")
    assert found.said.endswith("of RAM; there is 64 GB in total.")


@pytest.mark.parametrize(("token", "said"), [(False, "is not logged in to the hub"), (True, "this machine's login has no access")])
def test_a_gated_model_without_its_login_is_a_problem(hub, monkeypatch, token, said):
    """What to do is said, and the login is not."""
    hub(HubAnswer(GB, None, "gemma", True, refused="owner/name is gated"))
    monkeypatch.setattr(preflight_model, "has_token", lambda: token)
    found = points(replace(RUN, model="owner/name"))["access"]
    assert found.state == "problem"
    assert said in found.said
    assert "hf auth login" in found.fix


def test_a_gated_model_with_its_login_is_in_order(hub):
    """The hub gives the files out."""
    hub(HubAnswer(GB, None, "gemma", True))
    assert points(replace(RUN, model="owner/name"))["access"].state == "ok"


def test_a_hub_out_of_reach_is_a_problem(hub):
    """Sentence and fix are the download's own."""
    hub(ModelUnavailable("owner/name is not on this machine and the hub can't be reached. Go online, or copy its folder here."))
    found = workflows.preflight(replace(RUN, model="owner/name"))
    assert found.checks[0] == Check(
        "model", "problem", "owner/name is not on this machine and the hub can't be reached.", "Go online, or copy its folder here."
    )


CHATML = FAMILIES["chatml with a default system text"].template.replace("<|im_end|>", "<|end|>")  # the model's own end


def looked(name: str, template: bool, tmp_path: Path, kind: str = "folder") -> Looked:
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": CHATML} if template else {}))
    return Looked(name, (), replace(find_model(MODEL), kind=kind, path=str(tmp_path)), tmp_path)


@pytest.mark.parametrize(
    ("name", "template", "trains", "chat_prompt", "state"),
    [
        ("model", False, True, False, "ok"),  # base, plain
        ("model-instruct", True, True, False, "note"),  # chat, plain
        ("model-instruct", True, True, True, "ok"),
        ("model-instruct", False, True, False, "note"),
        ("model", True, True, False, "unknown"),
        ("model", True, True, True, "ok"),
        ("model-base", True, True, True, "note"),
        ("model", False, True, True, "problem"),
        ("model-instruct", True, False, False, "note"),  # a probe
        ("model", True, False, False, "ok"),
    ],
)
def test_base_or_chat_and_which_prompt_fits(tmp_path: Path, name, template, trains, chat_prompt, state):
    """Each with its fix unless all is well."""
    found = chat_check(looked(name, template, tmp_path), trains, chat_prompt)
    assert (found.name, found.state, bool(found.fix)) == ("chat", state, state != "ok")


def test_a_chat_prompt_is_looked_at_as_it_will_be_asked(folder: Path):
    """Answers behind the template, its length in the context; a template that can't be used stands in the way, once."""
    chat = replace(RUN, model=str(folder), prompt=PROMPTS["chat"])
    change(folder, "tokenizer_config.json", chat_template=CHATML)
    found = points(chat)
    assert found["prompt"].said == "Each question is put in the model's chat template, which includes its beginning token."
    assert (found["answers"].state, found["chat"].state) == ("ok", "ok")
    plain = points(replace(chat, prompt=PromptFormat()))["context"]
    assert int(found["context"].said.split()[4]) > int(plain.said.split()[4])
    change(folder, "tokenizer_config.json", chat_template="{{ messages[0]['content'] | upper }}")
    assert [check.name for check in workflows.preflight(chat).of("problem")] == ["chat"]
    change(folder, "tokenizer_config.json", chat_template=None)
    assert [check.said for check in workflows.preflight(chat).of("problem")] == [
        "The prompt is the model's chat template, but it has none."
    ]


def test_what_was_made_here_is_a_base_model(tmp_path: Path):
    """Whatever it is called."""
    assert chat_check(looked("my-chat", True, tmp_path, "pretrained"), True, False).state == "ok"


def test_a_broken_tokenizer_is_found_through_the_workflow(folder: Path):
    """As a page sees it: the run can't start, and says why."""
    change(folder, "tokenizer_config.json", eos_token="</s>")
    found = workflows.preflight(replace(RUN, model=str(folder)))
    assert [check.name for check in found.of("problem")] == ["end"]


# --- texts ----------------------------------------------------------------------------------------------------


def test_a_text_longer_than_the_model_is_a_problem(folder: Path):
    """Questions with their answers, examples, and statements with their completions."""
    change(folder, "config.json", max_position_embeddings=24)
    found = points(replace(RUN, model=str(folder)))["context"]
    assert (found.state, bool(found.fix)) == ("problem", True)
    assert found.said.endswith("more than the model's context window of 24 tokens.")
    assert points(ProbeSettings(str(folder), device="cpu", limit=20))["context"].state == "problem"


def test_few_shot_examples_that_do_not_fit_are_a_note(folder: Path):
    """Fewer are shown then; without that base line there is nothing to say."""
    change(folder, "config.json", max_position_embeddings=64)
    found = points(replace(RUN, model=str(folder)))["context"]
    assert (found.state, found.said.endswith("more than the context window of 64; fewer examples are shown.")) == ("note", True)
    assert points(replace(RUN, model=str(folder), shots=0))["context"].state == "ok"


def test_a_model_without_a_limit_takes_any_text(folder: Path):
    """Where its configuration names none."""
    config = json.loads((folder / "config.json").read_text())
    del config["max_position_embeddings"]
    (folder / "config.json").write_text(json.dumps(config))
    assert points(replace(RUN, model=str(folder)))["context"].said == "The model's configuration sets no limit to the length of a text."


def test_a_prompt_that_ends_in_a_space_is_a_note():
    """With the way to write it."""
    found = points(replace(RUN, prompt=PromptFormat("own", "Q: {question} A: ", "{answer}")))["prompt"]
    assert found.state == "note"
    assert found.fix == "Move the space from the prompt's end to the front of the answer."


def test_facts_that_are_not_there_are_a_problem():
    """Of a source that can't be had, and of one with too few."""
    assert points(replace(RUN, source="missing.csv"))["facts"].state == "problem"
    found = points(replace(RUN, n=99_999))["facts"]
    assert (found.state, "99,999 examples" in found.said) == ("problem", True)


# --- the machine ----------------------------------------------------------------------------------------------


def test_packages_that_are_missing_are_named(monkeypatch):
    """With the command that installs them."""
    monkeypatch.setattr(looking, "find_spec", lambda name: None if name == "peft" else object())
    assert packages_check("train") == Check("packages", "problem", "peft must be installed first.", "pip install peft")
    assert packages_check("probe").state == "ok"


def test_the_device_is_told_or_refused(monkeypatch):
    """What the setting stands for, and why no GPU."""
    found, place = device_check("cpu")
    assert (found.state, place) == ("ok", "cpu")
    found, place = device_check("cuda")
    assert (found.state, place) == ("problem", "cpu")
    monkeypatch.setattr(devices, "resolve_device", lambda setting: "cuda")
    assert device_check("auto") == (Check("device", "ok", "It runs on the GPU (cuda), in bfloat16."), "cuda")
    monkeypatch.setattr(devices, "visible_gpus", lambda: ["0", "1"])
    assert device_check("auto", 2) == (Check("device", "ok", "It runs on 2 GPUs (cuda), in bfloat16."), "cuda")
    few = Check("device", "problem", "The work needs 3 GPUs, but this machine has 2 that can be used.", "Ask for fewer.")
    assert device_check("auto", 3) == (few, "cpu")
    monkeypatch.setattr(devices, "resolve_device", lambda setting: "cpu")
    assert device_check("auto", 2)[0].said.startswith("The work needs 2 GPUs, but this machine has 0 that can be used (")


def test_ram_that_suffices_may_suffice_or_does_not(monkeypatch):
    """In order, a note with what to close, a problem with what to set; unknown where nothing is known."""
    plain = Fit("cpu", 2 * GB, 2 * GB, 8 * GB, 16 * GB)
    assert footprint_check(plain, "cpu").said == "RAM: about 2.0 GB, 8.0 GB free."
    assert footprint_check(None, "cpu").state == "ok"
    tight = replace(plain, least=9 * GB, stands_against="It needs about 9.0 GB of RAM, so it may fail. Close other programs.")
    assert footprint_check(tight, "cpu") == Check(
        "memory", "note", "It needs about 9.0 GB of RAM, so it may fail.", "Close other programs."
    )
    assert footprint_check(replace(tight, least=17 * GB), "cpu").state == "problem"
    assert footprint_check(replace(plain, needed=None), "cpu").state == "unknown"
    monkeypatch.setattr(devices, "device_ram", lambda device: DeviceRam(int(0.3 * GB), int(0.5 * GB)))
    found = workflows.preflight(RUN)
    assert [check.name for check in found.of("problem")] == ["memory"]


def test_a_trial_is_announced_for_gpus_and_large_models():
    """And said to be needless for a small model on a processor, and for a probe."""
    assert "on the GPU first" in trial_check("cuda", 1000, True).said
    assert "on the CPU first" in trial_check("cpu", 2 * GB, True).said
    assert trial_check("cpu", 1000, True).said.startswith("No step is tried first: the model is small")
    assert trial_check("cuda", 1000, True, 4).said == "No step is tried first: one GPU's step says little about 4 that share the work."
    assert trial_check("cuda", 1000, False).said.startswith("No step is tried first: a probe")


def test_room_on_the_disk(disk, tmp_path: Path):
    """Enough, little left, none for a checkpoint, too little; the place is where a folder will be."""
    later = tmp_path / "not" / "yet"
    tuned = [Writing("the tuned model", later, 14 * GB)]
    disk(100 * GB)
    assert disk_check(tuned, later).said == "Disk: 14 GB will be written, and 86 GB remain free."
    found = disk_check(tuned, later, 168 * GB)
    assert (found.state, found.said.startswith("There is no room for a checkpoint (168 GB)")) == ("note", True)
    disk(14.5 * GB)
    assert disk_check(tuned, later).said.startswith("Only 0.5 GB will be left on the disk of ")
    disk(5 * GB)
    found = disk_check(tuned, later)
    assert (found.state, found.fix) == ("problem", "Free some space, or set SFTQA_CACHE to a folder on another disk.")
    assert found.said == f"The disk of {later} has 5.0 GB free, but the tuned model needs 14 GB."


def test_look_at_tells_an_adapter_by_its_base_model(tmp_path: Path):
    """Tokenizer and configuration are those of the model under it; one whose base is missing is a problem."""
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": MODEL, "peft_type": "LORA"}))
    (adapter / "adapter_model.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    found = look_at(str(adapter))
    assert found.words == Path(find_model(MODEL).path or "")
    assert found.parameters == find_model(MODEL).parameters
    assert {check.name: check.state for check in found.checks}["end"] == "ok"
    (adapter / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "", "peft_type": "LORA"}))
    assert look_at(str(adapter)).checks[0].state == "problem"
