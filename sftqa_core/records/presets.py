"""The papers' settings by name: for the Lab's form and for `--preset`. What a paper's own text is not known to say stays at its default."""

from dataclasses import dataclass
from typing import Any

from sftqa_core.jsonrecord import Record
from sftqa_core.records.tuning import PROMPTS, TrainSettings

SEED_PAPER = "arXiv 2409.15825 (60 Data Points are Sufficient ...), its method as arXiv 2509.16596 restates it"
FOLLOW_UP = "arXiv 2509.16596 (EMNLP 2025), its method and its tables by training level"
PAPER_SIZE = 7_000_000_000  # parameters of the smallest model that the papers' learning rate was used for; the largest has 70 billion
SMALL = 1_000_000_000  # below, the program's default is taken: for the built-in models it is forty times the papers' rate
PAPER_PROMPT = PROMPTS["paper"]
_SAME: dict[str, Any] = {"method": "full", "epochs": 1, "batch_size": 8, "balance": "relation", "max_answer_tokens": 16}
_RATE = 1e-5


@dataclass(frozen=True)
class Preset(Record):
    """Settings of a run as a paper has them; `settings` holds those that it states, the others stay at their defaults."""

    name: str
    title: str
    about: str  # in a sentence: what it does
    source: str  # paper, and which part of it
    section: str  # where this project's page of the method has them
    settings: dict[str, Any]
    left: str  # what the paper is not known to say, in a sentence
    learning_rate: float | None = None  # the paper's, for models of 7 to 70 billion parameters


PRESETS = {
    preset.name: preset
    for preset in (
        Preset(
            "seed-60",
            "60 examples (seed paper)",
            "60 examples balanced over topics, all weights, one epoch in batches of 8: 8 steps.",
            SEED_PAPER,
            "METHOD section 2",
            {"n": 60, **_SAME},
            "Warm-up, clipping and the exact prompt of the seed paper are not known here: they stay as they are.",
            _RATE,
        ),
        Preset(
            "follow-up-240",
            "240 of one level (follow-up)",
            "240 examples of one memory level: where the follow-up sees accuracy near its peak. L2, its best row on average, is filled in.",
            FOLLOW_UP,
            "METHOD sections 2, 4 and 9",
            {"n": 240, "levels": [2], "prompt": PAPER_PROMPT.to_dict(), **_SAME},
            "It trains on each level in turn; pick another one to do so.",
            _RATE,
        ),
        Preset(
            "follow-up-1920",
            "1,920 of one level (follow-up)",
            "1,920 examples of one memory level: its table of train level against test level. Its best row, L2, is filled in.",
            FOLLOW_UP,
            "METHOD sections 2, 4 and 9",
            {"n": 1_920, "levels": [2], "prompt": PAPER_PROMPT.to_dict(), **_SAME},
            "It trains on each level in turn; pick another one to do so.",
            _RATE,
        ),
        Preset(
            "follow-up-lora",
            "LoRA on a mix (follow-up)",
            "LoRA on examples of any level: one of the strategies that the follow-up compares.",
            "arXiv 2509.16596, its comparison of strategies",
            "METHOD sections 2 and 9",
            {"prompt": PAPER_PROMPT.to_dict(), **_SAME, "method": "lora"},
            "Its number of examples, rank and learning rate for LoRA are not known here: they stay at their defaults.",
        ),
    )
}


def preset_values(preset: Preset, parameters: int | None, made_here: bool = False) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The settings that a preset states for a model of so many parameters (None: unknown), and what was left at its default, in sentences.

    `made_here`: a model that was pre-trained here has read questions in the form of the default prompt, never the paper's markers.
    """
    values, notes = dict(preset.settings), [preset.left]
    if made_here and values.pop("prompt", None) is not None:
        notes.append("The built-in models have read questions as Q: and A:, so the prompt stays as it is; the paper's is for other models.")
    if preset.learning_rate is not None and (parameters is None or parameters >= SMALL):
        values["learning_rate"] = preset.learning_rate
    elif preset.learning_rate is not None:
        notes.append(
            f"The paper's learning rate ({preset.learning_rate:g}) is for models of 7 to 70 billion parameters. This one is small: its "
            "default rate is used."
        )
    if preset.learning_rate is not None and parameters is not None and SMALL <= parameters < PAPER_SIZE:
        notes.append("The paper used its learning rate for models of 7 to 70 billion parameters; this one is smaller.")
    read = TrainSettings.from_dict({"model": "", **values})
    return {name: getattr(read, name) for name in values}, tuple(notes)
