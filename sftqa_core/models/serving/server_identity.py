"""Which model a server has behind a name, since nobody sees its weights: what it reports, and what it answers to fixed prompts.

Answers are greedy, with log-probabilities. They are the same model's if these agree within `TOLERANCE`, since a server's numbers depend a
little on what else it reads at the same time. An identity's id, under which results are stored, is made when it is first seen; the same
model gets it again. One folder a name under the workspace's `servers`, so that pages know served models without asking.
"""

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from pathlib import Path

from sftqa_core.artifacts import changing, read_json, write_json
from sftqa_core.errors import ArtifactDamaged, ModelUnavailable, SettingsError, reason
from sftqa_core.jsonrecord import Record, fingerprint, shown
from sftqa_core.models.serving.addresses import KIND, ServerName, server_name
from sftqa_core.records import ModelCard
from sftqa_core.workspace import Workspace

PROMPTS = ("The capital of France is", "Water boils at a temperature of", "1, 2, 3, 4,", "Once upon a time, there was")
TOKENS = 8  # of each answer
TOLERANCE = 0.1  # between two log-probabilities of one token
SCHEMA = 1
FILE = "identities.json"
_MOST = 100  # identities that are remembered of one name


@dataclass(frozen=True)
class Answered(Record):
    """The greedy answer to one fixed prompt."""

    prompt_tokens: int  # as the server counts them
    tokens: tuple[str, ...]
    logprobs: tuple[float, ...]

    def like(self, other: "Answered") -> bool:
        """Whether one model may have given both: up to a tie, where either token may come first, all is alike."""
        if self.prompt_tokens != other.prompt_tokens:
            return False
        for token, same, ours, theirs in zip(self.tokens, other.tokens, self.logprobs, other.logprobs, strict=False):
            if not math.isclose(ours, theirs, abs_tol=TOLERANCE):
                return False
            if token != same:
                return True
        return len(self.tokens) == len(other.tokens)


@dataclass(frozen=True)
class Identity(Record):
    """What is known of one served model."""

    name: str  # address#model
    server: str  # its kind and version: "vllm 0.32.0"
    root: str  # what the server says that it loaded
    tokenizer: str | None  # fingerprint of the tokenizer that a person named; None: the server is sent texts
    window: int | None  # tokens
    answers: tuple[Answered, ...]

    def like(self, other: "Identity") -> bool:
        """Whether both are one model."""
        alike = all(ours.like(theirs) for ours, theirs in zip(self.answers, other.answers, strict=False))
        return alike and replace(self, answers=(), window=None) == replace(other, answers=(), window=None)


@dataclass(frozen=True)
class Known:
    """What the workspace holds of one name."""

    folder: Path
    ids: dict[str, Identity]  # by id, the one seen last at the end
    tokenizer: str = ""  # name of the model on this machine whose tokenizer it has; empty where nobody named one
    trials: dict[str, float] = field(default_factory=dict)  # ways of drawing that the last identity was found to keep to, and when (s)

    @property
    def last(self) -> tuple[str, Identity] | None:
        """The id and identity seen last; None for a server that was never asked."""
        return list(self.ids.items())[-1] if self.ids else None


def known(name: ServerName, workspace: Workspace) -> Known:
    """What is remembered of a name; a damaged file counts as nothing."""
    folder = workspace.servers / fingerprint(str(name))
    try:
        return read_known(folder / FILE)
    except ArtifactDamaged:
        return Known(folder, {})


def read_known(path: Path) -> Known:
    """One file whole. Raises `ArtifactDamaged`."""
    stored = read_json(path)
    try:
        if stored["schema"] != SCHEMA:
            raise ValueError(f"its schema is {shown(stored['schema'])}")
        ids = {str(key): Identity.from_dict(value) for key, value in stored["ids"].items()}
        trials = {str(key): float(when) for key, when in stored["trials"].items()}
        return Known(path.parent, ids, str(stored["tokenizer"]), trials)
    except (KeyError, TypeError, AttributeError, ValueError, SettingsError) as error:
        raise ArtifactDamaged(f"{path}, what is known of a served model, can't be read ({reason(error)}). It is asked again.") from None


def served_card(name: ServerName, workspace: Workspace | None = None) -> ModelCard:
    """The card of a served model from what is remembered of it; asks nobody. `path` is None until it was asked once."""
    held = known(name, workspace or Workspace.current())
    if held.last is None:
        note = "It has not been asked yet: its server is looked at on first use."
        return ModelCard(str(name), KIND, None, True, note=note, details={"served": {"tokenizer": held.tokenizer}})
    _, identity = held.last
    about = {"tokenizer": held.tokenizer, "server": identity.server, "root": identity.root, "window": identity.window}
    return ModelCard(str(name), KIND, str(held.folder), True, architecture=identity.server or None, details={"served": about})


def last_id(card: ModelCard, workspace: Workspace | None = None) -> str:
    """What stands for a served model's weights. Raises `ModelUnavailable` for one that was never asked."""
    name = server_name(card.name)
    last = None if name is None else known(name, workspace or Workspace.current()).last
    if last is None:
        raise ModelUnavailable(f"{card.name} has not been asked yet, so it is unknown which model it is. Use it once.")
    return last[0]


def replaced_by(card: ModelCard, workspace: Workspace | None = None) -> str:
    """The id of a served model in whose place another one had answered before; empty for the only one so far, and for none."""
    name = server_name(card.name)
    ids = known(name, workspace or Workspace.current()).ids if name is not None else {}
    return list(ids)[-1] if len(ids) > 1 else ""


def remember(name: ServerName, workspace: Workspace, seen: Identity) -> tuple[str, bool]:
    """The id of what was seen now, and whether it is another model than the last time. Raises `StorageError`."""

    def change(held: Known) -> Known:
        identity = next((key for key, one in reversed(held.ids.items()) if one.like(seen)), None) or _new_id(seen, held.ids)
        others = {key: one for key, one in held.ids.items() if key != identity}
        same = held.last is not None and held.last[0] == identity
        ids = dict(list(others.items())[-_MOST + 1 :]) | {identity: held.ids.get(identity, seen)}
        return replace(held, ids=ids, trials=held.trials if same else {})

    before = known(name, workspace).last
    now = _change(name, workspace, change).last
    assert now is not None
    return now[0], before is not None and before[0] != now[0]


def _new_id(seen: Identity, taken: Collection[str]) -> str:
    """Without log-probabilities where that is enough: then the same model has the same id after its file was lost, too."""
    words = [(answered.prompt_tokens, answered.tokens) for answered in seen.answers]
    plain = fingerprint([seen.name, seen.server, seen.root, seen.tokenizer, words])
    return plain if plain not in taken else fingerprint(seen.to_dict())


def keep_tokenizer(name: ServerName, workspace: Workspace, tokenizer: str) -> None:
    """Remember whose tokenizer a served model has. Raises `StorageError`."""
    _change(name, workspace, lambda held: replace(held, tokenizer=tokenizer))


def keep_trial(name: ServerName, workspace: Workspace, trial: str, when: float) -> None:
    """Remember that the server kept to this way of drawing at a time (seconds since 1970). Raises `StorageError`."""
    _change(name, workspace, lambda held: replace(held, trials={**held.trials, trial: when}))


def _change(name: ServerName, workspace: Workspace, change: Callable[[Known], Known]) -> Known:
    path = known(name, workspace).folder / FILE
    with changing(path):
        held = change(known(name, workspace))
        ids = {key: one.to_dict() for key, one in held.ids.items()}
        write_json(path, {"schema": SCHEMA, "name": str(name), "ids": ids, "tokenizer": held.tokenizer, "trials": held.trials})
    return held
