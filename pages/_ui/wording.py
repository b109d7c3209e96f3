"""Numbers, terms and foreign text as pages show them."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import streamlit as st

from sftqa_core.records import MEASURES
from sftqa_core.records.amounts import counted as counted
from sftqa_core.records.amounts import duration as duration
from sftqa_core.records.amounts import interval as interval
from sftqa_core.records.amounts import moment as moment_in
from sftqa_core.records.amounts import p_value as p_value
from sftqa_core.records.amounts import percent as percent
from sftqa_core.records.amounts import span as span
from sftqa_core.records.texts import UNSEEN

VERDICTS = {"yes": "blue", "no": "violet", "cannot tell": "gray"}  # neither is the good one
PHASES = {  # a phase as a job reports it -> as a page shows it
    "probe": "probing",
    "answers: before": "base model's answers",
    "answers: few_shot": "base model, k-shot",
    "train": "training",
    "answers: after": "tuned model's answers",
    "preparing the corpus": "preparing the text",
    "pre-training": "pre-training",
    "study": "runs of the study",
    "sweep": "runs of the sweep",
    "download": "downloading",
    "complete": "completing prompts",
    "drift": "answers and weights that moved",
    "restoration: shares": "weights put back",
    "restoration: draws and layers": "weights put back by chance and by layer",
    "knowledge: base": "ranking answers, base model",
    "knowledge: tuned": "ranking answers, tuned model",
    "curves": "reading the base model's curves",
}
STEPS = {  # a job's kind -> its phases, in order
    "train": ("probe", "answers: before", "answers: few_shot", "train", "answers: after"),
    "inside": (
        "train",
        "answers: before",
        "answers: after",
        "drift",
        "restoration: shares",
        "restoration: draws and layers",
        "knowledge: base",
        "knowledge: tuned",
        "curves",
    ),
    "pretrain": ("preparing the corpus", "pre-training"),
}
TERMS = {  # the glossary: a term, what it means, and in [...] what a page says more where it knows its own numbers
    "Activated": "a fact whose right answer the base model ranked first and did not say, and that the tuned model ranks first and says.",
    "Adaptive probe": "a probe that draws fewer completions where a fact's level is clear early.",
    "Answers (settled, torn, rival, vague)": "what a fact's completions say. Settled: one answer leads, and it is correct; rival: one "
    "leads, and it is wrong; torn: two share most completions; vague: many different ones.",
    "Base model": "the model before fine-tuning.",
    "Bootstrap": "an interval by drawing the test facts again and again, with replacement: how far a number depends on the facts asked.",
    "Cannot tell": "the numbers allow neither yes nor no: the interval holds both, or there are fewer than 30 facts.",
    "Cell": "one run of a study: a model, a number of examples, a training level and a seed.",
    "Commonest answer": "the answer that most of a fact's completions give, right or wrong. A completion's answer is the first object of "
    "the relation that it names, else its first clause.",
    "Completion": "what a model writes on when it is given the beginning of a sentence.",
    "Contested": "the pre-training text states the fact, and for some of its mentions another answer (the rival).",
    "Control": "of a recipe: runs that would explain its gain if they gained as much, such as plain tuning for twice as long.",
    "Cut-offs": "the memory scores at which one level ends and the next begins.",
    "Dev": "facts set aside for choosing settings, such as the learning rate; never trained on nor tested on.",
    "Echo": "an answer is part of the subject, as in 'University of Oslo' for 'Oslo'. Repeating the question would count as knowing.",
    "Entropy": "how mixed a fact's answers are; drawn as the number of equally common answers that would be as mixed.",
    "Exposures": "how often the pre-training text states a fact. Known for models that were made here only.",
    "Ever fitted": "at some look during training, greedy decoding would have begun with the fact's answer.",
    "Fact": "a subject, a relation and its correct answers: 'Oslo', 'country', 'Norway'.",
    "Greedy": "the model's single most probable answer, word by word; nothing is drawn by chance.",
    "Held out": "not trained on. Test facts are held out from every run.",
    "Hit": "a completion that names a correct answer.",
    "Hollow marker": "fewer than 30 facts stand behind it, too few to tell.",
    "Holm": "Holm's correction: p-values are raised for the number of comparisons made at once, so that chance finds are rare among all. "
    "Bonferroni's does the same for intervals.",
    "In-domain": "relations that runs are tuned on by default; their other facts are tested. **Out-of-domain**: other relations.",
    "K": "the share of a fact's wrong answers that the model finds less likely than the right one. At K = 1 the right one ranks first.",
    "k-shot": "the base model with k answered questions in front of each question, and no tuning.[ Here: k = {shots}.]",
    "Kappa": "how well two ways of measuring agree on levels (Cohen's, linear weights): 1 is full agreement, 0 what chance would give.",
    "Known": "on Memory, in the Lab and in studies by memory level: the lowest level is not known, a higher one is known better; so for "
    "learning curves, where known is all above the lowest. In Inside's chapter on what a model knows and does not say, on Compare and on a "
    "fact's page: the right answer ranks first among wrong ones (K = 1). A question answered rightly is called answered, or said.",
    "KL divergence": "how far one distribution of the next token lies from another, in nats: 0 where they are the same, 1 where the tuned "
    "model's tokens are on average e times as probable as they were.",
    "Likelihood": "a level estimated from the probability of the answer as the next words, without drawing completions.",
    "LoRA": "fine-tuning of small added matrices (an adapter) instead of all weights.",
    "Look": "reading a model inside: once, at the end, for drift, restoration and knowledge; step by step for learning curves.",
    "Majority object": "always answering with the most frequent object of the relation, without a model.",
    "McNemar": "a test of two runs on the same facts: it looks only at facts that one answers rightly and the other wrongly.",
    "Mean over levels": "accuracy of each memory level, then their mean: every level counts the same (a macro mean).",
    "Memory level": "a range of the memory score. {levels}",
    "Memory score R": "the share of a fact's completions that name a correct answer.[ Here: of {completions} completions a fact.]",
    "Micro average": "accuracy over all test facts as they come: a level with more facts counts more.",
    "n": "the number of examples a run is tuned on; on an axis of levels, the number of test facts.",
    "Natural mix": "training facts as they come, of all levels: what single levels are compared with.",
    "Perplexity": "how surprised a model is by text, a word at a time; lower is better.",
    "Points": "percentage points: from 30% to 33% are 3 points.",
    "Probe": "measuring a fact's level: completions of its statements are drawn and searched for the answer.",
    "Recipe": "a way of tuning that is more than one plain training, taken from a paper and shown beside its control.",
    "Relation": "what is said of a subject: its country, its author, its capital.",
    "Reliability": "how often the commonest answer is correct, by its share of the completions.",
    "Restoration": "putting a share of the tuned weights back to their values before tuning, and testing again.",
    "Rival": "the other answer that the pre-training text states for a contested fact; of answers: a wrong one that leads.",
    "Run": "one fine-tuning with its tests before and after.",
    "Sampled": "drawn by chance, by the model's own probabilities; another seed draws others.",
    "Seed": "the number that random choices follow: which examples, in which order. Runs that differ only in it show what chance does.",
    "Sure and wrong": "more than three quarters of a fact's completions give one and the same wrong answer.",
    "Spearman": "rank correlation: 1 is the same order, 0 no common order, -1 the reverse. **Tau** says the same and allows for ties.",
    "Template": "a sentence with a place for the subject: 'The country of Oslo is'. A relation has several, so that one wording does not "
    "decide.",
    "Templates agree": "the share of pairs of a fact's templates whose commonest answers are the same.",
    "Test": "facts that are asked before and after tuning and never trained on.",
    "Wilson": "Wilson 95% interval: where a share would probably lie with many more facts of the same kind. Few facts, a wide interval.",
}
NOTE_HELP = {  # part of a note -> what stands behind it
    "echo facts": "Echo: the answer is part of the subject, as in 'University of Oslo' for 'Oslo'. Repeating the question would "
    "count as knowing, so these facts are marked and can be excluded.",
    "subject that also stands": "The model may have been tuned on another fact about the same subject, so these test facts are not "
    "entirely new to it. They are included; the number says how many there are.",
}

_MARKUP = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|~$:&=^])")
_JOINER = "\u2060"  # not seen; keeps apart what the page would take for one thing
# Icons, emoji, addresses and arrows are looked for after escapes were taken out, so these need something between their signs.
_SPELLS = (
    (re.compile(r":(?=\S)"), f":{_JOINER}"),
    (re.compile(r"(?i)\b(www)(?=\.)"), rf"\1{_JOINER}"),
    (re.compile(r"(?<=\S)@(?=\S)"), f"{_JOINER}@"),
    (re.compile(r"(?<!\S)(<-|-|>|<|~)(?=[->=](?!\S))"), rf"\1{_JOINER}"),
)
_INDENT = re.compile(r"^[ \t]+", re.MULTILINE)


def score(share: float) -> str:
    """A fact's memory score: "0.338"; a hit more of 210 completions is to be seen."""
    return f"{share:.3f}"


def between(low: float, high: float) -> str:
    """Both ends of an interval of memory scores: "0.34 to 0.42"."""
    return f"{low:.2f} to {high:.2f}"


def reader_zone() -> str:
    """The time zone of the browser that looks at the page, "Europe/Oslo"; UTC where it does not say, or names one that nobody knows here.

    Part of the key of everything that is kept with times in it: readers of one server may sit in several zones.
    """
    name = st.context.timezone or "UTC"
    return name if _zone(name) is not UTC else "UTC"


@lru_cache(maxsize=1_000)
def _zone(name: str) -> tzinfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # what a browser sends is not to be trusted
        return UTC


def moment(iso: str | None) -> str:
    """A time of a job or run (ISO 8601, UTC) as the reader's clock has it, without its seconds: "2026-11-23 15:30 UTC+1". The only way in
    which pages tell times."""
    return moment_in(iso, _zone(reader_zone()))


def day_and_time(iso: str) -> str:
    """The same in short, and the year where it is another one: "29 Nov 10:12"."""
    try:
        then = datetime.fromisoformat(iso).astimezone(_zone(reader_zone()))
    except (ValueError, OverflowError):
        return iso
    year = "" if then.year == datetime.now(then.tzinfo).year else f" {then.year}"
    return f"{then.day} {then:%b}{year} {then:%H:%M}"


def step_of(kind: str, phases: Sequence[str], measures: Sequence[str] = tuple(MEASURES)) -> tuple[int, int]:
    """Which step of how many a job of that kind is at, 1-based; `phases` are those it has reported so far, in order.

    Steps that were passed over (what was known already) are not counted; those to come are. `measures`: of a look inside those asked for.
    """
    planned = [phase for phase in STEPS.get(kind, ()) if (measure := phase.partition(": ")[0]) not in MEASURES or measure in measures]
    if kind in ("train", "inside"):  # what a recipe does is part of the training
        phases = [phase if phase in planned or ": " not in phase else "train" for phase in phases]
    if not phases or phases[-1] not in planned:
        return 1, 1
    now = planned.index(phases[-1])
    counted = [phase for at, phase in enumerate(planned) if phase in phases or at > now]
    return counted.index(phases[-1]) + 1, len(counted)


def phase_words(phase: str) -> str:
    """A phase as a page shows it; a recipe's stage by its own name: "training (reference)"."""
    what, _, stage = phase.partition(": ")
    return PHASES.get(phase) or (f"{PHASES.get(what, what)} ({stage})" if stage else phase)


def literal(text: object) -> str:
    """Text of models, data or errors for a place that renders markdown: it is shown as it stands, whatever it holds.

    Control characters become a sign that something was there; indented and empty lines stay lines of one paragraph.
    """
    plain = UNSEEN.sub("\ufffd", str(text).replace("\r\n", "\n"))
    for spell, broken in _SPELLS:
        plain = spell.sub(broken, plain)
    plain = _INDENT.sub(lambda found: _JOINER + "\u00a0" * len(found[0].expandtabs(4)), plain)
    return "  \n".join(line or "\u00a0" for line in _MARKUP.sub(r"\\\1", plain).split("\n")) if plain else ""


_COMMAND = re.compile(r"`((?:sftqa|hf|ulimit|pip|make|python) [^`\n]{1,300})`")


def sentence(text: object) -> str:
    """A sentence of this program's for a place that renders markdown: like `literal`, but a command in backticks is shown as code.

    Only commands that such sentences name: what a model or a file says keeps its backticks.
    """
    pieces = _COMMAND.split(str(text))  # every second one is a command
    return "".join(f"`{UNSEEN.sub(chr(0xFFFD), piece)}`" if at % 2 else _kept_apart(piece) for at, piece in enumerate(pieces))


def _kept_apart(piece: str) -> str:
    """The same as `literal`, and spaces at its ends stay."""
    bare = piece.strip(" ")
    return piece.replace(bare, literal(bare), 1) if bare else piece


def in_badge(text: object) -> str:
    """The same for `st.badge`, which escapes brackets by itself."""
    return literal(text).replace("\\[", "[").replace("\\]", "]")
