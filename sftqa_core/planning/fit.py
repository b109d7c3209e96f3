"""How much memory work will need beside what there is, told before it starts; and which settings need less. Never loads torch.

Which settings a job needs less memory with, one step after the other. Never loads torch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sftqa_core.errors import SftqaError
from sftqa_core.models.catalogue import base_card, find_model
from sftqa_core.models.chat_templates import Layout, layout, require_chat_template
from sftqa_core.models.devices import SEPARATE, DeviceMemory, device_memory, resolve_device
from sftqa_core.models.footprint import (
    STATE_BYTES,
    Footprint,
    Shape,
    TuningStep,
    answering,
    coarse,
    decoding,
    loaded,
    prompts_at_once,
    spread_over,
    tuning,
    tuning_together,
)
from sftqa_core.models.lists import known_model
from sftqa_core.models.model_files import ModelFolder
from sftqa_core.models.quantising import NF4, PACKAGE
from sftqa_core.models.tokenizer_files import CountTokens, longest_tokens, token_counter
from sftqa_core.records.tuning import parts_of
from sftqa_core.training.objectives import objective_of

if TYPE_CHECKING:
    import pandas as pd

    from sftqa_core.knowledge.facts import FactSource
    from sftqa_core.records import LevelScheme, ModelCard, TrainSettings

# What a process takes before it holds a model: Python and the libraries (benchmarks/memory.py prints it), or a GPU's context
PROCESS_BYTES = {"cpu": 560_000_000, "cuda": 500_000_000, "rocm": 500_000_000, "mps": 700_000_000}
# Rows under way at a time, of all samples: a model that was made here ends its sentence, and says the same again and again
# (measured on two built-in ones: 0.29 and 0.37); of others nothing is known, and all is the most there can be
OPEN = {"built-in": 1 / 3, "pretrained": 1 / 3}
_DRAWN = 20_000  # facts of a pool that stand for all of it
_LIKELY = 64  # examples with the most characters, one of which has the most tokens
_COUNTED = 16  # examples of a relation whose mean length stands for all
WORDS = {
    "batch_size": "batch size {}",
    "micro_batch": "micro-batch {}",
    "gradient_checkpointing": "gradient checkpointing",
    "method": "method {}",
    "quantization": "weights in 4 bits",
    "device": "device {}",
}


@dataclass(frozen=True)
class Memory:
    """What work needs on its device and what the device has, in bytes."""

    device: str  # cpu, cuda, rocm or mps
    needed: int | None  # at the peak, the process itself included; None where it is not known
    least: int | None  # of that, what can't be had back from the system; what must fit
    free: int | None  # now; None where the device can't be asked
    total: int | None
    note: str = ""  # what `needed` leaves out, or why it is None
    parts: Footprint | None = None  # of `needed`, without the process
    stands_against: str = ""  # the sentence of `verdict`, if it has one
    gpus: int = 1  # that each need this much

    def larger(self, other: Memory | None) -> Memory:
        """The one that needs more of two that do not run at once."""
        return self if other is None or (self.needed or 0) >= (other.needed or 0) else other

    def line(self) -> str:
        """ "about 0.6 GB, 18 GB free", with what is left out; the reason where nothing is known."""
        if self.needed is None:
            return self.note
        free = "" if self.free is None else f", {gigabytes(self.free)} free{' on the GPU' if self.device in SEPARATE else ''}"
        each = f" on each of {self.gpus} GPUs" if self.gpus > 1 else ""
        fits = self.free is not None and self.least is not None and self.least <= self.free < self.needed
        least = f" ({gigabytes(self.least or 0)} must be free)" if fits else ""
        return f"about {gigabytes(self.needed)}{least}{each}{free}{f'. {self.note}' if self.note else ''}"


def gigabytes(size: float) -> str:
    """Bytes as people say them: "0.6 GB", "18 GB"."""
    value = size / 1e9
    return f"{value:.0f} GB" if value >= 9.95 else f"{max(value, 0.1):.1f} GB"


class Estimator:
    """Memory of one model on one device. Raises `SftqaError` for an adapter whose base model is not here."""

    def __init__(self, card: ModelCard, device: str, quantization: str = "none"):
        self.device, self.quantization = device, quantization
        self.card, self.kind = card, card.kind
        shape, self.parameters, base = _shape(card)
        self.shape = shape_held(shape, quantization)
        own = Path(card.path) if card.path else None
        self.count = token_counter(own if own is not None and (own / "tokenizer_config.json").is_file() else base)
        self.room = device_memory(device)

    def probing(self, source: FactSource, facts: pd.DataFrame, scheme: LevelScheme, batch_size: int | None, gpus: int = 1) -> Memory:
        """Probing `facts` (fact table rows), one or more; with several GPUs, on each of them."""
        asked = longest_few_shot if scheme.few_shot else longest_statement
        sampling, length = scheme.sampling, asked(source, facts, self.count, scheme)
        reads = scheme.method == "likelihood"
        rows, new = (1, 0) if reads else (sampling.draws, sampling.max_new_tokens)  # likelihood writes nothing
        share = 1.0 if reads else OPEN.get(self.kind, 1.0)

        def work(shape: Shape) -> Footprint:
            chosen = prompts_at_once(shape, self.device, length, sampling.draws, sampling.max_new_tokens, self._beside(shape, gpus))
            places = batch_size or chosen
            return spread_over(decoding(shape, self.device, places, rows, length, new, share), gpus)

        return self._told(work, None, gpus, gpus)

    def training(self, settings: TrainSettings, pool: pd.DataFrame, tests: pd.DataFrame, n: int) -> Memory:
        """Fine-tuning on `n` examples of the pool and answering the test questions before and after, whichever needs more."""
        chat = layout(require_chat_template(self.card)) if settings.prompt.chat and self.card.path else None
        length = longest_example(settings, pool, n, self.count, chat)
        asked = longest_question(settings, pool, tests, self.count, chat)
        batch = max(1, min(settings.micro_batch or settings.batch_size, n))
        parts = parts_of(settings)

        def work(shape: Shape) -> Footprint:
            free = self._beside(shape, parts)
            places = prompts_at_once(shape, self.device, asked, 1, settings.max_answer_tokens, free)
            asking = spread_over(answering(shape, self.device, places, asked, settings.max_answer_tokens), parts)
            if not n:
                return asking
            state, again = STATE_BYTES[settings.optimizer], settings.gradient_checkpointing
            step = TuningStep(settings.method, settings.lora_rank, batch, length, state, again)
            tuned = tuning_together(shape, self.device, step, settings.gpus, settings.sharding)
            own = max(0, tuned.weights - asking.weights)  # of the tuned model, which answers while the base model is still there
            after = replace(asking, weights=asking.weights + own, total=asking.total + own)
            beside = objective_of(settings).memory(shape, self.device, step)
            tuned = replace(tuned, weights=tuned.weights + beside, total=tuned.total + beside)
            return max(tuned, after, key=lambda found: found.total)

        return self._told(work, settings.method if n else None, parts, settings.gpus)

    def _told(self, work: Callable[[Shape], Footprint], method: str | None, parts: int, gpus: int) -> Memory:
        room = self.room or DeviceMemory(0, 0)
        free, total = (room.free, room.total) if self.room else (None, None)
        note, own = "", PROCESS_BYTES[self.device]
        if self.shape is not None:
            found = work(self.shape)
        elif self.parameters:
            found = spread_over(coarse(self.parameters, self.device, method, self.quantization == NF4), parts)
            note = "Without what it works on: its configuration does not say how wide it is."
        else:
            return Memory(self.device, None, None, free, total, "not known before the model is on this machine.")
        return Memory(self.device, found.total + own, found.least + own, free, total, note, found, gpus=gpus)

    def _beside(self, shape: Shape, gpus: int) -> float:
        """Bytes that will be free on these GPUs once the model is loaded; as much as it takes where the device can't be asked."""
        weights = loaded(shape, self.device)
        return max(0, gpus * (self.room.free - PROCESS_BYTES[self.device]) - weights) if self.room else weights


def model_shape(card: ModelCard) -> Shape | None:
    """The widths of a model, or of the model under an adapter; None where they are not known."""
    return _shape(card)[0]


def shape_held(shape: Shape | None, quantization: str) -> Shape | None:
    """The shape of a model as its weights are held."""
    return shape.in_4_bits() if shape is not None and quantization == NF4 else shape


def _shape(card: ModelCard) -> tuple[Shape | None, int | None, Path | None]:
    """Shape, as far as its configuration says it, number of parameters and folder of a model, or of the model under an adapter."""
    base = base_card(card) or card
    if base.path is None:
        known = known_model(base.name)
        return known.shape if known else None, base.parameters, None
    folder = ModelFolder(Path(base.path))
    parameters = folder.parameters()
    return Shape.of(folder.config(), parameters), parameters, folder.path


def longest_few_shot(source: FactSource, facts: pd.DataFrame, count: CountTokens, scheme: LevelScheme) -> int:
    """Tokens of the longest few-shot prompt: each relation's examples before its longest question."""
    from sftqa_core.engine.wanted_facts import contexts_of, question_prompts

    longest, contexts = _longest(facts), contexts_of(source, scheme)
    rows = zip(longest["fact_id"], longest["relation"], longest["question"], strict=True)
    prompts = [text for fact, relation, asked in rows for text in question_prompts(contexts.shown(relation).to(fact, asked)[0], asked)]
    return longest_tokens(prompts, count)


def _longest(facts: pd.DataFrame) -> pd.DataFrame:
    """Of each relation the fact with the longest subject and question."""
    return facts.assign(size=facts["subject"].str.len() + facts["question"].str.len()).sort_values("size").groupby("relation").tail(1)


def longest_statement(source: FactSource, facts: pd.DataFrame, count: CountTokens, scheme: LevelScheme | None = None) -> int:
    """Tokens of the longest prompt: each relation's templates filled with its longest subject."""
    from sftqa_core.knowledge.relations import statement_prompts

    longest = _longest(facts)
    rows = zip(longest["relation"], longest["subject"], longest["question"], strict=True)
    prompts = [text for relation, subject, question in rows for text in statement_prompts(source.relations[relation], subject, question)]
    return longest_tokens(prompts, count)


def longest_example(settings: TrainSettings, pool: pd.DataFrame, n: int, count: CountTokens, chat: Layout | None = None) -> int:
    """Tokens of the longest of `n` examples, to be expected of a draw from the pool, with the end token; `chat` is put around them."""
    drawn = pool.head(max(n, _DRAWN))  # a pool stands in the order of a draw
    asked = drawn["question"].str.len().to_numpy() * max(1, settings.prompt.prompt.count("{question}"))
    sizes = asked + np.fromiter((len(answers[0]) for answers in drawn["answers"]), dtype=np.int64, count=len(drawn))
    rank = max(1, round(len(drawn) * n / (n + 1)))
    likely = sizes.argsort(kind="stable")[:rank][-_LIKELY:]
    return 1 + longest_tokens(_examples(settings, drawn.iloc[likely], chat), count)


def longest_question(
    settings: TrainSettings, pool: pd.DataFrame, tests: pd.DataFrame, count: CountTokens, chat: Layout | None = None
) -> int:
    """Tokens of the longest test prompt, with the examples that the base model is shown: of the relation with the longest ones."""
    asked = [_prompt(settings, question, chat) for question in tests["question"]]
    few = pool.head(_DRAWN).groupby("relation").head(_COUNTED)
    means = [_mean([count(text) for text in _examples(settings, some, chat)]) for _, some in few.groupby("relation")]
    return longest_tokens(asked, count) + round(max(settings.shots, *settings.more_shots, 0) * max(means, default=0))


def _examples(settings: TrainSettings, facts: pd.DataFrame, chat: Layout | None) -> list[str]:
    pairs = zip(facts["question"], facts["answers"], strict=True)
    form = settings.prompt
    if chat is not None:  # a system text counts with each: a little too much for those that are shown
        return [_prompt(settings, q, chat) + chat.reply(answers[0], form) + chat.tail for q, answers in pairs]
    return [_prompt(settings, q, None) + form.answer.replace("{answer}", answers[0]) for q, answers in pairs]


def _prompt(settings: TrainSettings, question: str, chat: Layout | None) -> str:
    return chat.prompt(question, (), settings.prompt) if chat else settings.prompt.prompt.replace("{question}", question)


def _mean(numbers: list[int]) -> float:
    return sum(numbers) / max(1, len(numbers))


def verdict(memory: Memory, kind: str, settings: Settings, again: Callable[[Settings], Memory]) -> tuple[list[str], list[str]]:
    """Problems and notes: work that needs more than the device has can't start, and what needs more than is free now may fail.

    `again` estimates other settings; both sentences name those that would fit.
    """
    needed, least = memory.needed, memory.least
    if needed is None or least is None or memory.total is None or memory.free is None:
        return [], []
    place = "the GPU" if memory.device in SEPARATE else "this machine"
    each = f" on each of {memory.gpus} GPUs" if memory.gpus > 1 else ""
    needs, in_all = f"It needs about {gigabytes(least)} of memory{each}, and", gigabytes(memory.total)
    if least > memory.total:
        advice = _advice(kind, settings, again, lambda found: found.total)
        return [f"{needs} {place} has {in_all} in all. {advice}"], []
    if least > memory.free:
        now = f"of {in_all} on {place} {gigabytes(memory.free)} are free now, so it may fail. Close what takes the rest."
        return [], [f"{needs} {now} {_advice(kind, settings, again, lambda found: found.free)}"]
    return [], []


def _advice(kind: str, settings: Settings, again: Callable[[Settings], Memory], room: Callable[[Memory], int | None]) -> str:
    """A sentence with the settings that fit the room of their device, or come as near as settings do."""
    now: Settings = settings
    changes: Settings = {}
    while less := less_memory(kind, now):
        now, changes = {**now, **less}, {**changes, **less}
        found = again(now)
        if found.least is None or found.least <= (room(found) or found.least):
            return f"Set {_words(changes)}."
    return f"Even with {_words(changes)} it does not fit. Choose a smaller model." if changes else "Choose a smaller model."


def _words(changes: Settings) -> str:
    return " and ".join(WORDS[name].format(value) for name, value in changes.items() if name in WORDS)


_FEW_PROMPTS = 16  # for a probe that chose its own number and found no room
_USUAL_LENGTH = 32  # tokens of an example, where only a comparison is wanted
Settings = dict[str, Any]


def less_memory(kind: str, settings: Settings) -> Settings | None:
    """The settings to change so that a job needs less memory, filled in; None where nothing is left to lower.

    `kind` is a job's (probe, train, study or pretrain) and `settings` its record as JSON. One step at a time, what leaves the results
    as they are first: fewer prompts, or examples of a batch, at once; activations computed again. Then LoRA in place of full
    fine-tuning, which comes first where activations are little of what is needed; then, where bitsandbytes is installed, LoRA on
    weights in 4 bits; in the end the processor for a GPU.
    """
    batch, full = settings.get("batch_size"), settings.get("method") == "full"
    if kind not in ("train", "study"):
        if kind == "probe" and batch is None:
            return {"batch_size": _FEW_PROMPTS}
        return {"batch_size": batch // 2} if isinstance(batch, int) and batch > 1 else _processor(settings)
    if full and not _batch_weighs(settings):
        return _lora(settings)
    return _fewer_at_once(settings) or (_lora(settings) if full else _four_bits(settings) or _processor(settings))


def _fewer_at_once(settings: Settings) -> Settings | None:
    """The next smaller part of a batch, then gradient checkpointing; None where both are at their end."""
    batch, gpus = settings.get("batch_size"), _gpus(settings)
    at_once = settings.get("micro_batch") or batch
    if gpus > 1 and isinstance(batch, int) and batch > gpus:
        return {"batch_size": max(gpus, batch // 2 // gpus * gpus)}  # they share it evenly, and take no parts of it
    if gpus == 1 and isinstance(batch, int) and isinstance(at_once, int) and at_once > 1:
        return {"micro_batch": max(part for part in range(1, at_once // 2 + 1) if batch % part == 0)}
    return None if settings.get("gradient_checkpointing") else {"gradient_checkpointing": True}


def _lora(settings: Settings) -> Settings:
    """LoRA, at its own learning rate: one that suits full fine-tuning is too small for it."""
    return {"method": "lora", **({"learning_rate": None} if settings.get("learning_rate") is not None else {})}


def _four_bits(settings: Settings) -> Settings | None:
    """The base model's weights in 4 bits, on a device that can hold them so."""
    if settings.get("quantization") == NF4 or _gpus(settings) > 1 or find_spec(PACKAGE) is None:
        return None
    try:
        return None if resolve_device(str(settings.get("device", "auto"))) == "mps" else {"quantization": NF4}
    except SftqaError:
        return None


def _processor(settings: Settings) -> Settings | None:
    try:
        cpu = {"device": "cpu", **({"gpus": 1} if _gpus(settings) > 1 else {})}
        return cpu if resolve_device(str(settings.get("device", "auto"))) in SEPARATE else None
    except SftqaError:
        return None


def _gpus(settings: Settings) -> int:
    asked = settings.get("gpus", 1)
    return asked if isinstance(asked, int) and asked > 1 else 1


def _batch_weighs(settings: Settings) -> bool:
    """Whether what grows with the batch is most of what full fine-tuning of the largest model takes."""

    try:
        device = resolve_device(str(settings.get("device", "auto")))
        found = [model_shape(find_model(name)) for name in settings.get("models") or [settings["model"]]]
    except (SftqaError, KeyError, OSError):
        return False
    largest = max((shape for shape in found if shape is not None), key=lambda shape: shape.parameters, default=None)
    if largest is None:
        return False
    used = tuning(largest, device, TuningStep("full", 0, settings.get("micro_batch") or settings.get("batch_size") or 1, _USUAL_LENGTH))
    return used.activations + used.logits > used.total / 2
