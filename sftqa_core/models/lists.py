"""Models by name, without torch: those that `sftqa pretrain` makes, those of the hub that the program knows, those that were added.

The table of the hub (hub_models.toml) holds the paper's families, their successors and small open ones; it ships with the program.
Added models, by hub id or folder, are one JSON file in the workspace; adding one fetches nothing.
"""

import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from sftqa_core.artifacts import changing, fetching, set_aside, write_json
from sftqa_core.errors import ArtifactDamaged, NotFound, OtherVersion, SettingsError, reason
from sftqa_core.jsonrecord import Record, parse_json, shown
from sftqa_core.models.footprint import Shape
from sftqa_core.models.hub.hub_cache import without_revision
from sftqa_core.records import CorpusSettings, PretrainSettings
from sftqa_core.workspace import Workspace

# Two mixtures of the same world, and a third. In `sparse` everything is said less often, other facts are common, fewer are
# contested and more questions are asked; `other` has facts of its own that are common.
_PLAIN = CorpusSettings(qa_documents=20_000, qa_answered_share=0.36)
_SPARSE = CorpusSettings(seed=1, qa_documents=30_000, qa_answered_share=0.36, exposure_scale=0.7, redealt_share=0.35, contested_kept=0.75)
_OTHER = CorpusSettings(seed=2, qa_documents=16_000, qa_answered_share=0.36, exposure_scale=1.2, redealt_share=0.35)

# All four ship. atlas-llama and atlas-qwen differ in the architecture alone, atlas-llama and atlas-llama-sparse in the mixture
# alone. Chosen by level shares and by accuracy on dev facts only.
BUILT_IN: dict[str, PretrainSettings] = {
    settings.name: settings
    for settings in (
        PretrainSettings(name="atlas-llama", corpus=_PLAIN, max_exposures=40),  # as its manifest says; atlas brings its own mentions
        PretrainSettings(name="atlas-llama-sparse", corpus=_SPARSE),
        PretrainSettings(name="atlas-qwen", architecture="qwen2", key_value_heads=2, corpus=_PLAIN),
        PretrainSettings(name="atlas-neox", architecture="gpt_neox", hidden_size=224, intermediate_size=896, corpus=_OTHER, seed=1),
    )
}

# NOT MADE YET: no GPU was at hand. 98 million parameters for a world of eight times the facts: 2.2 million mentions, 31 million tokens,
# 953 steps of 32,768 tokens (counted; writing and encoding the corpus took 75 s and 1.6 GB on two cores). The learning rate is the
# built-in models' one over four for four times the width, as maximal-update parametrisation has it (arXiv 2203.03466); nobody has
# tried it, or others.
_HUNDRED_MILLION = PretrainSettings(
    name="atlas-100m",
    source="atlas:8",
    hidden_size=768,
    layers=12,
    heads=12,
    intermediate_size=2_048,
    vocabulary=16_384,
    sequence_length=256,
    batch_size=128,
    learning_rate=2e-3,
    warmup_steps=100,
    corpus=CorpusSettings(qa_documents=160_000, qa_answered_share=0.36, filler_documents=24_000),
    compile=True,
)
UNMADE: dict[str, PretrainSettings] = {_HUNDRED_MILLION.name: _HUNDRED_MILLION}

TABLE = Path(__file__).with_name("hub_models.toml")


@dataclass(frozen=True)
class HubModel(Record):
    """A row of the table. Its revision is not in it: none could be looked up, and it is resolved at the first download."""

    name: str  # hub id
    family: str
    parameters: int  # tied embeddings count once
    licence: str  # the hub's word
    gated: bool  # an account has to accept its terms first
    chat: bool  # tuned to follow instructions; else a base model
    advised: bool = False  # as one of the first real models to try: small, open, quickly probed on a laptop
    config: dict[str, Any] = field(default_factory=dict)  # settings of its config.json that decide its size

    @property
    def shape(self) -> Shape:
        """Its widths, which its footprint is computed from."""
        shape = Shape.of(self.config, self.parameters)
        assert shape is not None, self.name  # tests/models/test_hub_models.py builds them all
        return shape

    @property
    def context(self) -> int:
        """Tokens that it can read at once."""
        return int(self.config.get("max_position_embeddings") or self.config["n_positions"])

    @property
    def size_bytes(self) -> int:
        """Of its weights on the hub, about."""
        return self.parameters * self.shape.stored_bytes


@cache
def hub_models() -> dict[str, HubModel]:
    """The table, by hub id: those that are advised first, else in its own order."""
    rows = tomllib.loads(TABLE.read_text(encoding="utf-8"))["model"]
    return {row["name"]: HubModel.from_dict(row) for row in sorted(rows, key=lambda row: not row.get("advised", False))}


def known_model(name: str) -> HubModel | None:
    """The row of a hub id, whatever revision it names; None where the table has none."""
    return hub_models().get(without_revision(name))


MADE = ("built-in", "pretrained")  # kinds of models that this program trained from scratch
_CHAT_NAME = re.compile(r"(?<![a-z])(instruct|chat|it|sft|dpo|rlhf|assistant)(?![a-z])")
_BASE_NAME = re.compile(r"(?<![a-z])(base|pretrained|pt)(?![a-z])")


def kind_of_model(name: str, template: bool = True, config: dict[str, Any] | None = None, kind: str = "hub") -> str:
    """Whether a model is a "chat" model, a "base" model or "either", decided here alone.

    Models made here are base models, and the table states its own. Else the last part of the name decides, or of the name in its
    `config`; without a chat `template` it is a base model. Base models of some families bring a template, too.
    """
    if kind in MADE:
        return "base"
    if row := known_model(name):
        return "chat" if row.chat else "base"
    names = (without_revision(name), str((config or {}).get("_name_or_path") or ""))
    last = [Path(part).name.lower().replace("_", "-") for part in names]
    if any(_CHAT_NAME.search(part) for part in last):
        return "chat"
    return "base" if any(_BASE_NAME.search(part) for part in last) or not template else "either"


SCHEMA = 1
MOST = 500  # models; lists have to stay readable
MAX_BYTES = 4_000_000
_LONGEST = 4_096  # characters, of a path


def added_models(workspace: Workspace | None = None) -> list[str]:
    """Hub ids and folders in the order in which they were added, the first MOST of them; none where nothing was.

    Raises `ArtifactDamaged` for a file that can't be read, `OtherVersion` for one of a newer program, `StorageError` where the
    disk does not give it out.
    """
    return read_added((workspace or Workspace.current()).added_models)[:MOST]


def read_added(path: Path) -> list[str]:
    """All of one file, however many a person wrote into it."""
    if not path.exists() and not path.is_symlink():
        return []
    with fetching(path):
        try:
            if not path.is_file() or path.stat().st_size > MAX_BYTES:
                raise _damaged(path, f"it is not a file, or has more than {MAX_BYTES:,} bytes")
            stored = parse_json(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise _damaged(path, reason(error)) from None
    if not isinstance(stored, dict) or not isinstance(stored.get("schema"), int):
        raise _damaged(path, "this program did not write it")
    if stored["schema"] > SCHEMA:
        raise OtherVersion(f"{path} was written by a newer version of the program (schema {stored['schema']}). Use that one, or move it.")
    names = stored.get("models")
    if not isinstance(names, list) or not all(isinstance(name, str) and 0 < len(name) <= _LONGEST for name in names):
        raise _damaged(path, f"its models must be a list of names, got {shown(names)}")
    if any("\ud800" <= letter <= "\udfff" for name in names for letter in name):
        raise _damaged(path, f"its models must be whole characters, got {shown(names)}")
    return list(dict.fromkeys(names))


def keep_added(name: str, workspace: Workspace | None = None) -> str:
    """Put a name on the list, if it is not there; returns a sentence where a damaged list was set aside, else "".

    Raises `SettingsError` when the list is full, `OtherVersion` and `StorageError` as above; then nothing has changed.
    """

    def with_it(names: list[str]) -> list[str]:
        if name not in names and len(names) >= MOST:
            raise SettingsError(f"The list is full: it holds {MOST} models. Remove one first: sftqa models --remove NAME.")
        return list(dict.fromkeys([*names, name]))

    return _change(workspace or Workspace.current(), with_it)


def drop_added(name: str, workspace: Workspace | None = None) -> str:
    """Take a name off the list; its files stay. Returns as `keep_added`. Raises `NotFound` for one that is not on it."""

    def without(names: list[str]) -> list[str]:
        if name not in names:
            listed = ", ".join(map(quoted, names[:20])) or "none"
            raise NotFound(f"{quoted(name)} is not among the added models. Added models: {listed}.")
        return [other for other in names if other != name]

    return _change(workspace or Workspace.current(), without)


def _change(workspace: Workspace, change: Callable[[list[str]], list[str]]) -> str:
    path, notice = workspace.added_models, ""
    with changing(path):  # two that change the list at once do it one after the other
        try:
            names = read_added(path)
        except OtherVersion:
            raise
        except ArtifactDamaged as error:
            names, moved = [], set_aside(path)
            if moved is None:
                raise
            notice = f"{error} It was kept unchanged as {moved.name}, and a new list was started."
        changed = change(names)
        if changed != names or notice:
            write_json(path, {"schema": SCHEMA, "models": changed})
    return notice


def _damaged(path: Path, why: str) -> ArtifactDamaged:
    return ArtifactDamaged(f"{path}, the list of added models, can't be read: {why}.")


def quoted(name: Any) -> str:
    """A name from outside inside a message."""
    return name if isinstance(name, str) and name and name.isprintable() and len(name) <= 120 else shown(name)
