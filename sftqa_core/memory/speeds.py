"""How fast this machine did things: measured rates by model and device, kept for forecasts."""

from sftqa_core.artifacts import keep_json, read_json
from sftqa_core.models import catalogue, quantising
from sftqa_core.records import LevelScheme
from sftqa_core.workspace import Workspace

# kind of work -> least pieces that tell a rate: facts, examples, questions, questions with examples in front
ENOUGH = {"probe": 100, "adaptive": 100, "likelihood": 100, "few_shot_probe": 100, "train": 40, "answer": 200, "few_shot": 200}

PROBES = {"sampling": "probe", "adaptive": "adaptive", "likelihood": "likelihood"}  # a scheme's method -> kind of work


def few_shot_pieces(questions: int, shots: int) -> int:
    """Questions with examples in front, counted in those with four: reading is nearly all of the work."""
    return round(questions * (1 + shots) / 5)


def kind_of_probe(scheme: LevelScheme) -> str:
    """What probing under a scheme is called here: few-shot prompts take another time than statements."""
    return "few_shot_probe" if scheme.few_shot else PROBES[scheme.method]


def remember(model: catalogue.ModelFingerprint, **work: tuple[int, float]) -> None:
    """Keep the rates of a model on its device from `kind=(pieces, seconds)`.

    Little work is not remembered: batches were not full and the start weighs too much. A disk that refuses is ignored: a forecast is
    not worth a finished run.
    """
    speeds = _read()
    rates = speeds.setdefault(_key(model), {})
    for kind, (pieces, seconds) in work.items():
        if seconds > 0 and pieces >= ENOUGH[kind]:
            rates[kind] = pieces / seconds
    keep_json(Workspace.current().state / "speeds.json", speeds)


def measured(model: catalogue.ModelFingerprint) -> dict[str, float]:
    """Rates measured on this machine for a model, whatever adapter it has; empty when it never ran here."""
    return _read().get(_key(model), {})


def _key(model: catalogue.ModelFingerprint) -> str:
    """Weights in 4 bits, or on a processor in bfloat16, are read at another speed."""
    held = quantising.held_in(model.dtype, model.device)
    return f"{model.weights}@{model.device.partition(':')[0]}{'' if held == 'none' else f' {held}'}"


def _read() -> dict[str, dict[str, float]]:
    """What is remembered; empty for a file that is lost or damaged, which only makes forecasts rougher."""
    stored = read_json(Workspace.current().state / "speeds.json")
    return {key: rates for key, rates in stored.items() if isinstance(rates, dict)} if isinstance(stored, dict) else {}
