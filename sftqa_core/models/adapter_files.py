"""How a LoRA adapter is put on its base model, decided from both folders alone: what preflight says of it is what loading does.

An adapter may name its layers by a regular expression, add tokens, or change the output head alone:

* A pattern is never evaluated, since it can keep a processor busy for ever: the weights name the layers that they belong to.
* Added tokens: the base's embeddings are resized to the rows that the adapter holds, as peft's AutoPeftModel does by the tokenizer.
  Rows that nobody trained would be random numbers, so an adapter without them is refused.
* A base that uses its embeddings as output head too (tied) gets a head of its own where LoRA changes one of the two: merged into the
  shared weights, it would change both.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sftqa_core.errors import ModelUnavailable
from sftqa_core.jsonrecord import shown
from sftqa_core.models.light_tokenizers import light_tokenizer
from sftqa_core.models.model_files import ADAPTER_CONFIG, TOKENIZER_CONFIG, ModelFolder, vocabulary

Shapes = Mapping[str, tuple[int, ...]]

_PLAIN_NAME = re.compile(r"[A-Za-z0-9_.-]{1,200}")
_PATTERNS = ("modules_to_save", "layers_pattern", "rank_pattern", "alpha_pattern")
_BY_WEIGHTS = ("target_modules", "exclude_modules")  # patterns in these are not needed
_LAYER = re.compile(r"base_model\.model\.([A-Za-z0-9_.-]{1,200})\.lora_(embedding_)?A(\.weight)?")
_INPUT = {"embed_tokens", "wte", "embed_in", "word_embeddings"}  # what transformers' families call the embeddings,
_OUTPUT = {"lm_head", "embed_out"}  # and the output head


@dataclass(frozen=True)
class AdapterPlan:
    """What is done to the base model before the adapter is put on it."""

    layers: tuple[str, ...] | None = None  # in place of the pattern that names them; None where they are named plainly
    rows: int | None = None  # that the embeddings are resized to; None where they stay as they are
    untied: bool = False  # the output head gets weights of its own

    def config(self, base: dict[str, Any]) -> dict[str, Any]:
        """The base model's configuration as it is then."""
        if self.rows is None:
            return base
        text = base.get("text_config")
        return {**base, "vocab_size": self.rows} | ({"text_config": {**text, "vocab_size": self.rows}} if text else {})

    def told(self, base: dict[str, Any]) -> str:
        """The same in sentences, for preflight; empty where nothing is done."""
        said = []
        if self.layers is not None:
            said.append(f"Its pattern of layers is not evaluated: its weights tell the {len(self.layers)} layers.")
        if self.rows is not None:
            said.append(f"Its base model's embeddings are resized from {vocabulary(base) or 0:,} to its {self.rows:,} tokens.")
        if self.untied:
            said.append("It changes the output head, or the embeddings, of a base model that shares them: they are separated first.")
        return " ".join(said)


def adapter_plan(adapter: ModelFolder, base: ModelFolder, name: str) -> AdapterPlan:
    """The plan for the adapter `name`. Raises `ModelUnavailable` for one that can't be used, or does not fit this base."""
    config = adapter.config()
    _refuse_odd(config, name)
    held, under = adapter.shapes(), base.shapes()
    _refuse_misfit(held, under, name)
    rows = _rows(adapter, held, base.config(), _has_head(under), name)
    return AdapterPlan(_layers(config, held, name), rows, unties(adapter, base))


def unties(adapter: ModelFolder, base: ModelFolder) -> bool:
    """Whether LoRA sits on the embeddings or the output head of a base model that has one matrix for both."""
    changed = {part for key in adapter.shapes() if "lora_" in key for part in _parts(key)}
    return bool(changed & (_INPUT | _OUTPUT)) and not _has_head(base.shapes())


def _refuse_odd(config: Mapping[str, Any], name: str) -> None:
    if config.get("peft_type") != "LORA":
        raise ModelUnavailable(f"{name} is an adapter of type {shown(config.get('peft_type'))}. Only LoRA adapters can be used.")
    plain = [setting for setting in _BY_WEIGHTS if not isinstance(config.get(setting), str)]
    for setting in (*_PATTERNS, *plain):
        value = config.get(setting)
        for text in [value] if isinstance(value, str) else value or ():
            if not isinstance(text, str) or not _PLAIN_NAME.fullmatch(text):
                raise ModelUnavailable(
                    f"{name} is an adapter with a pattern in place of names ({setting}: {shown(text)}), which is not evaluated. "
                    "Save it again with a list of plain names, or merge it into its model."
                )


def _layers(config: Mapping[str, Any], held: Shapes, name: str) -> tuple[str, ...] | None:
    pattern = next((config[setting] for setting in _BY_WEIGHTS if isinstance(config.get(setting), str)), None)
    if pattern is None or (pattern == config.get("target_modules") == "all-linear" and not config.get("exclude_modules")):
        return None
    layers = tuple(sorted({found[1] for key in held if (found := _LAYER.fullmatch(key))}))
    if not layers:
        raise ModelUnavailable(
            f"{name} is an adapter that names its layers by a pattern ({shown(pattern)}), and its weights hold no LoRA matrices that would "
            "tell them. Save it again with a list of plain names, or merge it into its model."
        )
    return layers


def _rows(adapter: ModelFolder, held: Shapes, base: dict[str, Any], own_head: bool, name: str) -> int | None:
    known = vocabulary(base)
    whole = {key: shape[0] for key, shape in held.items() if len(shape) == 2 and "lora_" not in key and _parts(key) & (_INPUT | _OUTPUT)}
    whole = {key: rows for key, rows in whole.items() if not key.endswith("trainable_tokens_delta")}
    if known is None or set(whole.values()) <= {known}:
        if whole or known is None or not adapter.json(ADAPTER_CONFIG).get("trainable_token_indices"):
            return None
        return _rows_of_words(adapter, known)
    if len(set(whole.values())) > 1:
        sizes = " and ".join(f"{rows:,}" for rows in sorted(set(whole.values())))
        raise ModelUnavailable(f"{name} is an adapter that holds embeddings of {sizes} tokens, which can't be of one model. Save it again.")
    rows = next(iter(whole.values()))
    parts = {part for key in whole for part in _parts(key)}
    lacking = "embeddings" if not parts & _INPUT else "output head" if own_head and not parts & _OUTPUT else ""
    if lacking:
        raise ModelUnavailable(
            f"{name} is an adapter for {rows:,} tokens, its base model knows {known:,}, and the adapter brings no {lacking} for the rest. "
            "Save it again with save_embedding_layers=True, or merge it into its model."
        )
    return rows


def _rows_of_words(adapter: ModelFolder, known: int) -> int | None:
    """Tokens of the adapter's own tokenizer where they are more than its base's (each of them was trained by itself)."""
    tokenizer = light_tokenizer(adapter.path) if (adapter.path / TOKENIZER_CONFIG).is_file() else None
    rows = tokenizer.backend.get_vocab_size(with_added_tokens=True) if tokenizer is not None else 0
    return rows if rows > known else None


def _refuse_misfit(held: Shapes, under: Shapes, name: str) -> None:
    """An adapter that was made for a model of other widths."""
    for key, shape in held.items():
        found = _LAYER.fullmatch(key)
        there = under.get(f"{found[1]}.weight") if found and not found[2] else None
        if there is not None and len(there) == 2 and shape[-1] not in there:
            layer = found[1] if found else ""
            raise ModelUnavailable(
                f"{name} is an adapter that does not fit its base model: its layer {layer} reads {shape[-1]:,} numbers, the base's has "
                f"{there[0]:,} by {there[1]:,}. Name the model that it was made for."
            )


def _has_head(under: Shapes) -> bool:
    """A model that shares the embeddings is saved without a head of its own."""
    return any(_parts(key) & _OUTPUT for key in under)


def _parts(key: str) -> set[str]:
    return set(key.split("."))
