"""Numbers, terms and foreign text as pages show them."""

import re
from collections.abc import Sequence

from sftqa_core.records.amounts import duration as duration
from sftqa_core.records.amounts import span as span

PHASES = {  # a phase as a job reports it -> as a page shows it
    "probe": "probing",
    "answers: before": "base model's answers",
    "answers: few_shot": "base model, k-shot",
    "train": "training",
    "answers: after": "tuned model's answers",
    "preparing the corpus": "preparing the text",
    "pre-training": "pre-training",
    "study": "runs of the study",
    "download": "downloading",
    "complete": "completing prompts",
}
STEPS = {  # a job's kind -> its phases, in order
    "train": ("probe", "answers: before", "answers: few_shot", "train", "answers: after"),
    "pretrain": ("preparing the corpus", "pre-training"),
}
TERMS = {  # the words that every page uses, one line each
    "In-domain": "relations that runs are tuned on by default; their other facts are tested. **Out-of-domain**: other relations.",
    "Memory levels": "how often the correct answer came up in {completions} completions of statements about the fact. {levels}",
    "k-shot baseline": "the base model with k answered questions in front of each question (here: k = {shots}).",
    "Majority object": "always answering with the most frequent object of the relation, without a model.",
}
NOTE_HELP = {  # part of a note -> what stands behind it
    "echo facts": "Echo: the answer is part of the subject, as in 'University of Oslo' for 'Oslo'. Repeating the question would "
    "count as knowing, so these facts are marked and can be excluded.",
    "subject that also stands": "The model may have been tuned on another fact about the same subject, so these test facts are not "
    "entirely new to it. They are included; the number says how many there are.",
}

_MARKUP = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|~$:&=^])")
# control characters, halves of characters, and marks that turn the reading direction round
_UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_JOINER = "\u2060"  # not seen; keeps apart what the page would take for one thing
# Icons, emoji, addresses and arrows are looked for after escapes were taken out, so these need something between their signs.
_SPELLS = (
    (re.compile(r":(?=\S)"), f":{_JOINER}"),
    (re.compile(r"(?i)\b(www)(?=\.)"), rf"\1{_JOINER}"),
    (re.compile(r"(?<=\S)@(?=\S)"), f"{_JOINER}@"),
    (re.compile(r"(?<!\S)(<-|-|>|<|~)(?=[->=](?!\S))"), rf"\1{_JOINER}"),
)
_INDENT = re.compile(r"^[ \t]+", re.MULTILINE)


def percent(share: float | None, digits: int = 1) -> str:
    """0.731 as "73.1%"; a missing value as a dash."""
    return "–" if share is None or share != share else f"{share * 100:.{digits}f}%"


def interval(low: float | None, high: float | None) -> str:
    """Both ends of an interval of shares: "70.2 to 75.9%"."""
    return "no interval" if low is None or high is None else f"{low * 100:.1f} to {high * 100:.1f}%"


def between(low: float, high: float) -> str:
    """Both ends of an interval of memory scores: "0.34 to 0.42"."""
    return f"{low:.2f} to {high:.2f}"


def moment(iso: str | None) -> str:
    """An ISO time (all are UTC here) without its seconds: "2026-11-23 14:30 UTC"."""
    return f"{iso.replace('T', ' ')[:16]} UTC" if iso else ""


def step_of(kind: str, phases: Sequence[str]) -> tuple[int, int]:
    """Which step of how many a job of that kind is at, 1-based; `phases` are those it has reported so far, in order.

    Steps that were passed over (what was known already) are not counted; those to come are.
    """
    planned = STEPS.get(kind, ())
    if not phases or phases[-1] not in planned:
        return 1, 1
    now = planned.index(phases[-1])
    counted = [phase for at, phase in enumerate(planned) if phase in phases or at > now]
    return counted.index(phases[-1]) + 1, len(counted)


def literal(text: object) -> str:
    """Text of models, data or errors for a place that renders markdown: it is shown as it stands, whatever it holds.

    Control characters become a sign that something was there; indented and empty lines stay lines of one paragraph.
    """
    plain = _UNSEEN.sub("\ufffd", str(text).replace("\r\n", "\n"))
    for spell, broken in _SPELLS:
        plain = spell.sub(broken, plain)
    plain = _INDENT.sub(lambda found: _JOINER + "\u00a0" * len(found[0].expandtabs(4)), plain)
    return "  \n".join(line or "\u00a0" for line in _MARKUP.sub(r"\\\1", plain).split("\n")) if plain else ""


def in_badge(text: object) -> str:
    """The same for `st.badge`, which escapes brackets by itself."""
    return literal(text).replace("\\[", "[").replace("\\]", "]")
