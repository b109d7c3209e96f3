"""Whether work fits its device: the RAM, or GPU memory, that it will need beside what there is; which settings need less; and one trial
step (training/trying.py). Never loads torch, but for that step.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sftqa_core.artifacts import Kept
from sftqa_core.engine import capacity
from sftqa_core.errors import OutOfMemory, SettingsError, SftqaError
from sftqa_core.knowledge.aliases import Aliases
from sftqa_core.knowledge.facts import FactSource
from sftqa_core.memory.profiles import open_for
from sftqa_core.models import catalogue, devices, footprint, lists, loading, model_files, quantising
from sftqa_core.models.chat_templates import Layout, layout, require_chat_template
from sftqa_core.models.footprint import Footprint, Shape, TuningStep
from sftqa_core.models.gguf import gguf_reading
from sftqa_core.models.serving.addresses import KIND as SERVER
from sftqa_core.models.tokenizer_files import TokenCounter, longest_tokens, token_counter
from sftqa_core.progress import Reporter, Silent
from sftqa_core.records import Check, LevelScheme, ModelCard, TrainSettings, probes, tuning
from sftqa_core.training import recipes, trying

if TYPE_CHECKING:
    import pandas as pd

# What a process takes before it holds a model: Python and the libraries (benchmarks/memory.py prints it), or a GPU's context
PROCESS_BYTES = {"cpu": 560_000_000, "cuda": 500_000_000, "rocm": 500_000_000, "mps": 700_000_000}
# Share of the rows open at a time, of all samples: a model that was made here ends its sentence, and says the same again and again
# (measured on two built-in ones: 0.29 and 0.37); of others nothing is known, and all is the most there can be
OPEN = {"built-in": 1 / 3, "pretrained": 1 / 3}
_DRAWN = 20_000  # facts of a pool that stand for all of it
_LIKELY = 64  # examples with the most characters, one of which has the most tokens
_COUNTED = 16  # facts of a relation: examples whose mean length stands for all, or those with the most characters
_FEW_PROMPTS = 16  # for a probe that chose its own batch size and ran out of memory
_USUAL_LENGTH = 32  # tokens of an example, where only a comparison is wanted
WORDS = {
    "batch_size": "batch size {}",
    "micro_batch": "micro-batch {}",
    "gradient_checkpointing": "gradient checkpointing",
    "method": "method {}",
    "quantization": "weights in 4 bits",
    "device": "device {}",
}
_ANSWERING = " while it answers test questions, as many at once as there is room for"  # training alone needs less
Settings = dict[str, Any]


@dataclass(frozen=True)
class Fit:
    """What work needs on its device and what the device has, in bytes."""

    device: str  # cpu, cuda, rocm or mps
    needed: int | None  # at the peak, the process itself included; None where it is not known
    least: int | None  # of that, what the system can't take back: it must be free
    free: int | None  # now; None where the device can't be asked
    total: int | None
    note: str = ""  # what `needed` leaves out, or why it is None
    parts: Footprint | None = None  # of `needed`, without the process
    stands_against: str = ""  # the sentence of `verdict`, if it has one
    gpus: int = 1  # that each need this much
    at_peak: str = ""  # when it needs this, where that is not what the work is named after

    @property
    def resource(self) -> str:
        """What runs out: RAM, or a GPU's own."""
        return resource(self.device)

    def larger(self, other: Fit | None) -> Fit:
        """The one that needs more of two that do not run at once."""
        return self if other is None or (self.needed or 0) >= (other.needed or 0) else other

    def line(self) -> str:
        """ "about 0.6 GB, 18 GB free", with what is left out; the reason where nothing is known."""
        if self.needed is None:
            return self.note
        free = "" if self.free is None else f", {gigabytes(self.free)} free"
        fits = self.free is not None and self.least is not None and self.least <= self.free < self.needed
        least = f" ({gigabytes(self.least or 0)} must be free)" if fits else ""
        return f"about {gigabytes(self.needed)}{self.at_peak}{least}{_each(self.gpus)}{free}{f'. {self.note}' if self.note else ''}"


def resource(device: str) -> str:
    """What work on a device can run out of."""
    return "GPU memory" if device in devices.SEPARATE else "RAM"


def gigabytes(size: float) -> str:
    """Bytes as people say them: "0.6 GB", "18 GB"."""
    value = size / 1e9
    return f"{value:.0f} GB" if value >= 9.95 else f"{max(value, 0.1):.1f} GB"


def _each(gpus: int) -> str:
    return f" on each of {gpus} GPUs" if gpus > 1 else ""


class Estimator:
    """What one model needs on one device (resolved or chosen). Raises `SftqaError` for an adapter whose base model is not here."""

    def __init__(self, card: ModelCard, device: str, quantization: str = "none"):
        device = "cpu" if card.kind == SERVER else device
        self.device, self.quantization, self.card = devices.numbered(device)[0], quantization, card
        self.shape, self.parameters, base = _described(card, quantization)
        folder = Path(card.path) if card.path and card.kind != SERVER else None
        self.count = token_counter(folder if folder is not None and (folder / "tokenizer_config.json").is_file() else base)
        self.ram = devices.device_ram(device)

    def probing(self, source: FactSource, facts: pd.DataFrame, scheme: LevelScheme, batch_size: int | None, gpus: int = 1) -> Fit:
        """Probing `facts` (fact table rows), one or more; with several GPUs, on each of them."""
        sampling, length = scheme.sampling, longest_prompt(source, facts, self.count, scheme)
        new = capacity.completion_tokens(scheme)
        rows, share = (sampling.draws, OPEN.get(self.card.kind, 1.0)) if new else (1, 1.0)

        def work(shape: Shape) -> Footprint:
            free = self._free_beside(shape, gpus)
            most = footprint.prompts_at_once(shape, self.device, length, sampling.draws, sampling.max_new_tokens, free)
            return footprint.spread_over(footprint.decoding(shape, self.device, batch_size or most, rows, length, new, share), gpus)

        return self._fit(work, None, gpus, gpus)

    def training(self, settings: TrainSettings, pool: pd.DataFrame, tests: pd.DataFrame, n: int) -> Fit:
        """Fine-tuning on `n` examples of the pool and answering the test questions before and after, whichever needs more."""
        chat = layout(require_chat_template(self.card)) if settings.prompt.chat and self.card.path else None
        length = longest_example(settings, pool, n, self.count, chat)
        asked = longest_question(settings, pool, tests, self.count, chat)
        parts, new, at_peak = tuning.parts_of(settings), settings.max_answer_tokens, ""

        def work(shape: Shape) -> Footprint:
            questions = footprint.prompts_at_once(shape, self.device, asked, 1, new, self._free_beside(shape, parts))
            answers = footprint.spread_over(footprint.answering(shape, self.device, questions, asked, new), parts)
            nonlocal at_peak
            if not n:
                return answers
            tuned, beside = _step(shape, self.device, settings, n, length, settings.gpus)
            own = max(0, tuned.weights - beside - answers.weights)  # the tuned model answers beside the base model, without a teacher
            after = replace(answers, weights=answers.weights + own, total=answers.total + own)
            most = max(tuned, after, key=lambda work: work.total)
            at_peak = _ANSWERING if most is after else ""
            return most

        return replace(self._fit(work, settings.method if n else None, parts, settings.gpus), at_peak=at_peak)

    def _fit(self, work: Callable[[Shape], Footprint], method: str | None, parts: int, gpus: int) -> Fit:
        free, total = (self.ram.free, self.ram.total) if self.ram else (None, None)
        note, process = "", PROCESS_BYTES[self.device]
        if self.card.kind == SERVER:
            return Fit(self.device, process, process, free, total, "The model itself runs on its server.")
        if self.shape is not None:
            needed = work(self.shape)
        elif self.parameters:
            nf4, half = (self.quantization == how for how in (quantising.NF4, quantising.BFLOAT16))
            needed = footprint.spread_over(footprint.coarse(self.parameters, self.device, method, nf4, half), parts)
            note = "Activations and caches are not counted: the configuration does not state the model's widths."
        else:
            return Fit(self.device, None, None, free, total, "unknown until the model is downloaded.")
        return Fit(self.device, needed.total + process, needed.least + process, free, total, note, needed, gpus=gpus)

    def _free_beside(self, shape: Shape, gpus: int) -> float:
        """Bytes that will be free on these GPUs once the model is loaded; as much as it takes where the device can't be asked."""
        weights = footprint.weight_bytes(shape, self.device)
        return max(0, gpus * (self.ram.free - PROCESS_BYTES[self.device]) - weights) if self.ram else weights


def _step(shape: Shape, device: str, settings: TrainSettings, examples: int, length: int, gpus: int = 1) -> tuple[Footprint, int]:
    """A run's step on one of its GPUs, and how much of that its objective needs beside the model (a teacher)."""
    step = TuningStep.of(settings, examples, length)
    tuned = footprint.tuning_together(shape, device, step, gpus, settings.sharding)
    beside = recipes.memory(settings, shape, device, step, examples)
    return replace(tuned, weights=tuned.weights + beside, total=tuned.total + beside), beside


def model_shape(card: ModelCard, quantization: str = "none") -> Shape | None:
    """Of a model, or of the one under an adapter, with its weights held so; None where it is not known."""
    return _described(card, quantization)[0]


def _described(card: ModelCard, quantization: str) -> tuple[Shape | None, int | None, Path | None]:
    """`model_shape`, number of parameters and folder; each None where it is not known."""
    base = catalogue.base_card(card) or card
    if card.kind == SERVER:
        return None, None, None
    if base.path is None:
        gguf, listed = gguf_reading.source_of(base), lists.known_model(base.name)
        shape = Shape.of(gguf.config(), gguf.parameters) if gguf else listed.shape if listed else None
        parameters, folder = base.parameters, None
    else:
        files = model_files.ModelFolder(Path(base.path))
        parameters, folder = files.parameters(), files.path
        shape = Shape.of(files.config(), parameters)
    if shape is not None and quantization != "none":
        shape = shape.in_4_bits() if quantization == quantising.NF4 else shape.in_bfloat16()
    return shape, parameters, folder


def longest_prompt(source: FactSource, facts: pd.DataFrame, count: TokenCounter, scheme: LevelScheme) -> int:
    """Tokens of a probe's longest prompt: of each relation's longest facts, the templates or the question behind examples, and by
    likelihood the longest answer that is read behind it."""
    from sftqa_core.engine.wanted_facts import wanted_facts

    def make() -> int:
        sized = facts.assign(size=facts["subject"].str.len() + facts["question"].str.len())
        longest, prompts = sized.sort_values("size").groupby("relation").tail(_COUNTED), defaultdict[str, list[str]](list)
        for wanted in wanted_facts(source, longest, Aliases(), "tokens", scheme):
            prompts[wanted.relation.id] += wanted.prompts
        length = max(longest_tokens(texts, count) for texts in prompts.values())
        if scheme.method != "likelihood":
            return length
        likely = sorted({f" {answer}" for answers in facts["answers"] for answer in answers}, key=len)[-_LIKELY:]
        return length + max(0, longest_tokens(likely, count) - count("") - 1)  # all but its last token

    return round(_kept_of(facts, ("prompt", source.fingerprint, count, scheme), make))


def _kept_of(facts: pd.DataFrame, key: tuple[Hashable, ...], make: Callable[[], float]) -> float:
    """What was counted of this table in this way: a form asks again at every change, most of which change neither."""
    return _kept.get((id(facts), *key), lambda: (facts, make()))[1]


# With its table, so that no other gets its id(); as many as have this many rows together, about 100 MB.
_kept: Kept[tuple[pd.DataFrame, float]] = Kept(500_000, lambda kept: len(kept[0]))


def likely_longest(settings: TrainSettings, pool: pd.DataFrame, n: int, most: int | None = None) -> pd.DataFrame:
    """Of the pool the `most` facts (a batch) that are as long as the longest of a draw of `n` is likely to be."""
    if not n or pool.empty:
        return pool.head(0)
    sizes = (pool["question"].str.len() + pool["answers"].map(lambda answers: len(answers[0]))).to_numpy()
    rank = max(1, round(len(pool) * n / (n + 1))) if n < len(pool) else len(pool)
    return pool.iloc[sizes.argsort(kind="stable")[:rank][-(most or settings.batch_size) :]]


def longest_example(settings: TrainSettings, pool: pd.DataFrame, n: int, count: TokenCounter, chat: Layout | None = None) -> int:
    """Tokens of the longest of `n` examples, to be expected of a draw from the pool, with the end token; `chat` is put around them."""
    drawn = pool.head(max(n, _DRAWN))  # a pool stands in the order of a draw
    return 1 + longest_tokens(_examples(settings, likely_longest(settings, drawn, n, _LIKELY), chat), count)


def longest_question(
    settings: TrainSettings, pool: pd.DataFrame, tests: pd.DataFrame, count: TokenCounter, chat: Layout | None = None
) -> int:
    """Tokens of the longest test prompt, with the examples that the base model is shown: of the relation with the longest ones."""

    def asked() -> int:
        return longest_tokens([prompt for prompt, _ in prompt_pairs(settings, tests, chat)], count)

    def mean() -> float:
        few = pool.head(_DRAWN).groupby("relation").head(_COUNTED)
        lengths = [[count(text) for text in _examples(settings, some, chat)] for _, some in few.groupby("relation")]
        return max((sum(of) / len(of) for of in lengths), default=0)

    way, shots = (settings.prompt, chat, count), max(settings.shots, *settings.more_shots, 0)
    return round(_kept_of(tests, ("asked", *way), asked)) + round(shots * _kept_of(pool, ("shown", *way), mean))


def prompt_pairs(settings: TrainSettings, facts: pd.DataFrame, chat: Layout | None = None) -> list[tuple[str, str]]:
    """(prompt, reply) of facts as they are trained on; `chat` is put around them."""
    form, rows = settings.prompt, zip(facts["question"], facts["answers"], strict=True)
    if chat is not None:
        return [(chat.prompt(question, (), form), chat.reply(answers[0], form)) for question, answers in rows]
    return [(form.prompt.replace("{question}", q), form.answer.replace("{answer}", answers[0])) for q, answers in rows]


def _examples(settings: TrainSettings, facts: pd.DataFrame, chat: Layout | None) -> list[str]:
    tail = chat.tail if chat else ""  # a system text counts with each: a little too much for those that are shown
    return [prompt + reply + tail for prompt, reply in prompt_pairs(settings, facts, chat)]


def verdict(fit: Fit, kind: str, settings: Settings, again: Callable[[Settings], Fit]) -> tuple[list[str], list[str]]:
    """Problems and notes: work that needs more than the device has can't start, and what needs more than is free now may fail.

    `again` estimates other settings; both sentences name those that would fit.
    """
    if fit.needed is None or fit.least is None or fit.total is None or fit.free is None:
        return [], []
    place = "the GPU" if fit.device in devices.SEPARATE else "this machine"
    needs, total = f"It needs about {gigabytes(fit.least)} of {fit.resource}{_each(fit.gpus)};", gigabytes(fit.total)
    if fit.least > fit.total:
        return [f"{needs} {place} has {total} in total. {_advice(kind, settings, again, lambda other: other.total)}"], []
    if fit.least > fit.free:
        now = f"only {gigabytes(fit.free)} of the {total} on {place} is free now, so it may fail. Close other programs."
        return [], [f"{needs} {now} {_advice(kind, settings, again, lambda other: other.free)}"]
    return [], []


def _advice(kind: str, settings: Settings, again: Callable[[Settings], Fit], room: Callable[[Fit], int | None]) -> str:
    """A sentence with the settings that fit the room of their device, or come as near as settings do."""
    now, changes, words = settings, Settings(), ""
    while less := smaller_footprint(kind, now):
        now, changes = {**now, **less}, {**changes, **less}
        words = " and ".join(WORDS[name].format(value) for name, value in changes.items() if name in WORDS)
        fit = again(now)
        if fit.least is None or fit.least <= (room(fit) or fit.least):
            return f"Set {words}."
    return f"Even with {words} it does not fit. Choose a smaller model." if changes else "Choose a smaller model."


def smaller_footprint(kind: str, settings: Settings) -> Settings | None:
    """The settings to change so that a job needs less RAM or GPU memory, filled in; None where nothing is left to lower.

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
    # LoRA at its own learning rate: one that suits full fine-tuning is too small for it
    lora: Settings = {"method": "lora", **({"learning_rate": None} if settings.get("learning_rate") is not None else {})}
    if full and not _batch_weighs(settings):
        return lora
    gpus, at_once = _gpus(settings), settings.get("micro_batch") or batch
    if gpus > 1 and isinstance(batch, int) and batch > gpus:
        return {"batch_size": max(gpus, batch // 2 // gpus * gpus)}  # they share it evenly, and take no parts of it
    if gpus == 1 and isinstance(batch, int) and isinstance(at_once, int):
        parts = (part for part in range(at_once // 2, 0, -1) if batch % part == 0)
        if part := next((part for part in parts if _allowed(settings, {"micro_batch": part})), None):
            return {"micro_batch": part}
    if not settings.get("gradient_checkpointing"):
        return {"gradient_checkpointing": True}
    if full:
        return lora
    if settings.get("quantization") != quantising.NF4 and not probes.quantization_problems(quantising.NF4, gpus):
        with contextlib.suppress(SftqaError):  # weights can't be held so on this device
            quantising.usable_device(str(settings.get("device", "auto")), quantization=quantising.NF4)
            return {"quantization": quantising.NF4}
    return _processor(settings)


def _allowed(settings: Settings, change: Settings) -> bool:
    """Whether the run's recipe, if it has one, can work with a change: one that reads examples in pairs can't with micro-batches of one."""
    if settings.get("recipe") is None:
        return True
    try:
        TrainSettings.from_dict({**settings, **change})
    except SettingsError:
        return False
    return True


def _processor(settings: Settings) -> Settings | None:
    cpu = {"device": "cpu", **({"gpus": 1} if _gpus(settings) > 1 else {})}
    return cpu if _device(settings) in devices.SEPARATE else None


def _gpus(settings: Settings) -> int:
    asked = settings.get("gpus", 1)
    return asked if isinstance(asked, int) and asked > 1 else 1


def _device(settings: Settings) -> str | None:
    try:
        return devices.resolve_device(str(settings.get("device", "auto")))
    except SftqaError:
        return None


def _batch_weighs(settings: Settings) -> bool:
    """Whether what grows with the batch is most of what full fine-tuning of the largest model takes."""
    device = _device(settings)
    try:
        shapes = [model_shape(catalogue.find_model(name)) for name in settings.get("models") or [settings["model"]]]
    except (SftqaError, KeyError, OSError):
        return False
    largest = max((shape for shape in shapes if shape is not None), key=lambda shape: shape.parameters, default=None)
    if largest is None or device is None:
        return False
    at_once = settings.get("micro_batch") or settings.get("batch_size") or 1
    used = footprint.tuning(largest, device, TuningStep("full", 0, at_once, _USUAL_LENGTH))
    return used.activations + used.logits > used.total / 2


def trial(settings: TrainSettings, reporter: Reporter | None = None) -> Check:
    """Load the model and try one step now, on whatever device; too little RAM or GPU memory is the check's problem."""
    from sftqa_core.training.selection import train_pool

    try:
        loaded = loading.load_model(catalogue.find_model(settings.model), settings.device, quantization=settings.quantization)
        devices.return_freed_ram()  # quantising leaves holes
        pool = train_pool(open_for(settings.model, settings.source), settings)
        n = len(pool) if settings.n == TrainSettings.ALL else settings.n
        done = try_examples(loaded, likely_longest(settings, pool, n), settings, reporter or Silent())
    except OutOfMemory as error:
        return Check.of_error("trial", str(error), "Choose a smaller model.")
    if done is None:
        return Check("trial", "ok", "There are no examples, so no step was tried.")
    return Check("trial", "ok", done.line(_expected(loaded, settings, done)))


def try_examples(loaded: loading.LoadedModel, examples: pd.DataFrame, settings: TrainSettings, reporter: Reporter) -> trying.Trial | None:
    """Try one step on the longest batch of `examples` (fact table rows) and tell the log. Raises `OutOfMemory`."""
    from sftqa_core.training.trainer import encode_examples

    done = trying.try_one_step(loaded, encode_examples(loaded, examples, settings), settings)
    if done is not None:
        reporter.log(done.line(_expected(loaded, settings, done)))
    return done


def _expected(loaded: loading.LoadedModel, settings: TrainSettings, done: trying.Trial) -> int | None:
    """The estimate for that very step, in bytes as they were measured: of a GPU what torch holds, of a processor the whole process."""
    shape = model_shape(loaded.card, settings.quantization)
    if shape is None:
        return None
    step, _ = _step(shape, loaded.device, settings, done.examples, done.tokens)
    return step.total + (PROCESS_BYTES["cpu"] if loaded.device == "cpu" else 0)
