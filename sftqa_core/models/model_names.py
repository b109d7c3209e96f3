"""What people call a model: of a GGUF file its name, of what a run kept what it was tuned from, how and when."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from sftqa_core.models import measured
from sftqa_core.records import ModelCard

_METHODS = {"full": "all weights", "lora": "LoRA"}


def names_of(cards: Sequence[ModelCard], when: Callable[[str], str]) -> dict[str, str]:
    """The name of each listed model; tuned ones that would be called alike end in the run's last signs. `when`: a time (ISO 8601) as it is
    told."""
    names = {card.name: _named(card, when) for card in cards}
    twice = {name for name, times in Counter(names.values()).items() if times > 1}
    return {model: f"{name} · {model[-4:]}" if name in twice else name for model, name in names.items()}


def plain_name(model: str, quantisation: str) -> str:
    """Of a path its last part, where it is a GGUF file; with the quantisation, unless the name tells it."""
    path = Path(model)
    name = path.name if path.is_absolute() and (quantisation or path.suffix.lower() == ".gguf") else model
    word = quantisation.partition(",")[0]
    return name if word.lower() in name.lower() else f"{name} ({word})"


def _named(card: ModelCard, when: Callable[[str], str]) -> str:
    kept = card.details.get("tuned")
    if card.kind != "tuned" or not isinstance(kept, dict):
        name = plain_name(card.name, card.quantisation)
        return f"{name} (results only)" if card.kind == measured.KIND else name
    again = " again" if kept["base"] != kept["root"] else ""
    method = "QLoRA" if kept["quantization"] == "nf4" else _METHODS.get(kept["method"], kept["method"])
    root = plain_name(kept["root"], "")
    return f"{root} tuned{again}: {kept['n']:,} ex., {method}, seed {kept['seed']}, {when(kept['created'])}"
