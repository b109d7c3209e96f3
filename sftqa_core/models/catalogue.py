"""Which models there are, where they lie, and what identifies them, without loading any of them.

A name is looked up as what a run has kept (tuned.py), a model on a server (serving/), a model that was pre-trained here, a built-in one, a
GGUF file or a folder with one (gguf/), a local folder, then a hub id, maybe with a revision (hub_cache.py). A result's key holds the
fingerprint of the weights, which decide its numbers; where the model came from (`origin`) stands beside the key.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sftqa_core.artifacts import MANIFEST, finished, read_manifest
from sftqa_core.errors import ArtifactDamaged, ModelUnavailable, SettingsError, SftqaError, reason
from sftqa_core.jsonrecord import Record, fingerprint, setting, shown
from sftqa_core.models import measured, tuned
from sftqa_core.models.adapter_bases import base_of, keep_base
from sftqa_core.models.adapter_files import adapter_plan, unties
from sftqa_core.models.gguf import gguf_reading
from sftqa_core.models.gguf.gguf_models import KIND, GgufModel, gguf_at, refuse_unreadable
from sftqa_core.models.hub.hub_cache import HubName, commit_of, hub_name, local_snapshot, local_snapshots, without_revision
from sftqa_core.models.light_tokenizers import forgotten_beginning
from sftqa_core.models.lists import MADE, added_models, known_model, quoted
from sftqa_core.models.model_files import ADAPTER_CONFIG, CONFIG, TOKENIZER_CONFIG, ModelFolder, digests, words_folder
from sftqa_core.models.serving import addresses
from sftqa_core.models.serving.server_identity import last_id, served_card
from sftqa_core.records import ModelCard
from sftqa_core.workspace import Workspace, typed_path

if TYPE_CHECKING:
    import pandas as pd

SERVER = addresses.KIND
EXPOSURES = "exposures.parquet"  # in a pre-trained model's folder: knowledge.corpus.Corpus.facts
NOT_HERE = "Not on this machine yet; it is downloaded on first use."
TO_READ = "It is read from GGUF on first use, once."
_KINDS = ("built-in", "pretrained", "folder", KIND, measured.KIND, SERVER, "hub")  # in the order that they are listed in


@dataclass(frozen=True)
class ModelFingerprint(Record):
    """What decides a model's numbers; part of every stored result's key."""

    weights: str  # weights_fingerprint of the (base) model: weights, configuration and tokenizer
    adapter: str | None  # the same of the adapter on top of it
    dtype: str
    device: str  # what computes: cpu, cuda, rocm or mps
    template: str | None = setting(None, later=True)  # ChatTemplate.fingerprint, where questions are put by it
    beginning: int | None = setting(None, later=True)  # token put in front of each text because the tokenizer forgets it


def find_model(name: str, workspace: Workspace | None = None) -> ModelCard:
    """The card of the model a person means. Raises `ModelUnavailable` saying what to do when there is none."""
    workspace = workspace or Workspace.current()
    card = _found(name, workspace)
    if card is not None:
        return card
    if "://" in name:
        how = "give the last two parts of a hub's page, owner/name, or of a server http://host:8000/v1#model"
        raise ModelUnavailable(f"There is no model named {shown(name)}. This is a web address: {how}.")
    known = ", ".join(card.name for card in list_models(workspace) if card.path and card.kind != tuned.KIND) or "none yet"
    raise ModelUnavailable(
        f"There is no model named {shown(name)}. On this machine: {known}. Pick one of them, a folder, or a hub id such as owner/name."
    )


def _found(name: str, workspace: Workspace) -> ModelCard | None:
    if tuned.is_tuned_name(name):
        return _tuned_card(name, workspace)
    if (served := addresses.server_name(name)) is not None:
        return served_card(served, workspace)
    made = _models(workspace).get(name)
    if made is not None:
        return folder_card(made, name, _kind(made, workspace))
    if (about := measured.measured_models(workspace).get(name)) is not None:
        return _measured_card(about, workspace)
    path, kind = typed_path(name)
    gguf = gguf_at(path.absolute()) if kind else None
    if gguf is not None:
        return gguf_card(gguf, name, workspace)
    if kind == "folder":
        return folder_card(path.absolute(), name, "folder")
    if _is_path(name) or kind:
        raise ModelUnavailable(
            f"There is no folder {quoted(str(path))} with a model in it. Give the folder that save_pretrained wrote, or a GGUF file."
        )
    hub = hub_name(name)
    snapshot = local_snapshot(hub) if hub else None
    if snapshot is not None:
        with contextlib.suppress(ModelUnavailable):  # half a download: it is completed when the model is used
            return replace(folder_card(snapshot, name, "hub"), revision=commit_of(snapshot))
    if hub is not None and "/" in hub.repository:
        known = None if hub.subfolder else known_model(hub.repository)
        return ModelCard(name, "hub", None, False, parameters=known.parameters if known else None, note=NOT_HERE)
    return None


def _measured_card(about: measured.Measured, workspace: Workspace) -> ModelCard:
    folder = measured.read_from(about, workspace)
    if folder is not None:
        return replace(folder_card(folder, about.name, KIND), quantisation=about.quantisation)
    return measured.card(about)


def _tuned_card(name: str, workspace: Workspace) -> ModelCard:
    """With what its files say. An adapter counts as many parameters as the model that it makes, which decide its learning rate."""
    card = tuned.tuned_card(name, workspace)
    files = folder_card(Path(card.path or ""), name, tuned.KIND)
    parameters = files.parameters
    if card.architecture:
        with contextlib.suppress(SftqaError):  # whoever uses it is told
            base = base_card(card, workspace)
            parameters = base.parameters if base is not None else None
    return replace(card, architecture=files.architecture, parameters=parameters)


def list_models(workspace: Workspace | None = None) -> list[ModelCard]:
    """Models that are on this machine (built-in, pre-trained here, causal ones in the local hub cache), and those that were added; under
    each what was tuned from it here, newest first."""
    workspace = workspace or Workspace.current()
    cards = []
    for name, path in _models(workspace).items():
        try:
            cards.append(folder_card(path, name, _kind(path, workspace)))
        except SftqaError as error:
            cards.append(ModelCard(name, _kind(path, workspace), str(path), False, note=str(error)))
    for hub, snapshot in local_snapshots():
        try:
            card = folder_card(snapshot, str(hub), "hub")
            kinds = ModelFolder(snapshot).config().get("architectures") or ()
        except SftqaError:
            continue  # diffusion models, half a download: nothing a person could pick here
        if any(str(kind).endswith(("ForCausalLM", "LMHeadModel")) for kind in kinds):
            cards.append(replace(card, revision=commit_of(snapshot)))
    cards += _added(workspace, {card.name for card in cards})
    there = {card.name for card in cards}
    cards += [_measured_card(about, workspace) for name, about in measured.measured_models(workspace).items() if name not in there]
    cards.sort(key=lambda card: (_KINDS.index(card.kind), card.path is None, card.name))
    return _with_tuned(cards, workspace)


def _with_tuned(cards: list[ModelCard], workspace: Workspace) -> list[ModelCard]:
    """Tuned models under the listed model where their chain of runs begins; those whose base is not listed come last."""
    under: dict[str, list[ModelCard]] = {card.name: [] for card in cards}
    bases, alone = {card.name: card for card in cards}, []
    for card in tuned.kept_models(workspace):
        kept = tuned.tuned_from(card)
        if kept is not None and (base := bases.get(kept.root)) is not None:
            alike = replace(card, architecture=card.architecture or base.architecture, parameters=card.parameters or base.parameters)
            under[kept.root].append(alike)
        else:
            alone.append(card)
    return [*(model for card in cards for model in (card, *under[card.name])), *alone]


def _added(workspace: Workspace, listed: set[str]) -> Iterator[ModelCard]:
    """Models that the person put on the list, wherever they are. A list that can't be read hides no other model; planning/offers.py
    reports it."""
    names: list[str] = []
    with contextlib.suppress(SftqaError):
        names = added_models(workspace)
    for name in names:
        if name in listed:
            continue
        card, note = None, "It is neither a folder nor a hub id."
        try:
            card = _found(name, workspace)
        except SftqaError as error:
            note = str(error)
        yield card or ModelCard(
            name, SERVER if addresses.is_server(name) else "folder" if _is_path(name) else "hub", None, False, note=note
        )


def gguf_card(model: GgufModel, name: str, workspace: Workspace) -> ModelCard:
    """The card of a model in GGUF files: of what was read from them, or of what will be. Raises `ModelUnavailable` for one that can't
    be read."""
    refuse_unreadable(model, name)
    folder = gguf_reading.read_already(model, workspace)
    if folder is not None:
        return replace(folder_card(folder, name, KIND), quantisation=model.label)
    details = {"gguf": gguf_reading.described(model)}
    kind = model.config()["model_type"]
    return ModelCard(name, KIND, None, True, kind, model.parameters, note=TO_READ, details=details, quantisation=model.label)


def folder_card(path: Path, name: str, kind: str) -> ModelCard:
    """The card of a model in a folder. Raises `ModelUnavailable` if what it holds can't be loaded, `ArtifactDamaged` if
    a model that was made here has a manifest that can't be read."""
    folder = ModelFolder(path)
    config = folder.config()
    details: dict[str, Any] = {}  # of a model that this program pre-trained; other programs' manifest.json is not read
    read: dict[str, Any] = {}  # of one that it read from GGUF
    if (path / MANIFEST).is_file():
        try:
            manifest = read_manifest(path)
            details, read = manifest if manifest.get("kind") == "model" else {}, gguf_reading.told_of(manifest)
        except ArtifactDamaged:
            if kind in MADE:
                raise
    adapter = folder.is_adapter
    revision = f" at {quoted(config['revision'])}" if config.get("revision") else ""
    return ModelCard(
        name,
        kind,
        str(path),
        True,
        architecture="lora adapter" if adapter else config.get("model_type"),
        parameters=folder.parameters(),
        weights_sha256=details.get("files", {}).get("model.safetensors"),
        note=f"Adapter for {quoted(config.get('base_model_name_or_path'))}{revision}." if adapter else "",
        details={"gguf": read} if read else details,
        quantisation=str(read.get("quantisation", "")),
    )


def weights_fingerprint(card: ModelCard, workspace: Workspace | None = None) -> str:
    """16 hex digits over weights, configuration and tokenizer; the same wherever the files lie.

    Raises `ModelUnavailable` for a model whose files are not on this machine.
    """
    if card.kind == SERVER:
        return last_id(card, workspace)
    if card.kind == measured.KIND:
        return measured.told(card).weights
    if card.path is None:
        how = "has not been read yet" if card.kind == KIND else "is not on this machine"
        raise ModelUnavailable(
            f"{card.name} {how}, so its weights are unknown. {'Use' if card.kind == KIND else 'Download it, or use'} it once."
        )
    workspace, folder = workspace or Workspace.current(), ModelFolder(Path(card.path))
    if (lender := _lender(card, workspace)) is not None:
        words = [path for path in ModelFolder(lender).files() if path.suffix != ".safetensors" and path.name != CONFIG]
        return fingerprint(digests([*folder.files(), *words], workspace))
    return folder.fingerprint(workspace)


def base_card(card: ModelCard, workspace: Workspace | None = None) -> ModelCard | None:
    """The model an adapter sits on; None for a model that is whole. Raises `ModelUnavailable` if it is not here."""
    if card.path is None or card.kind == SERVER or not ModelFolder(Path(card.path)).is_adapter:
        return None
    workspace = workspace or Workspace.current()
    config, kept = ModelFolder(Path(card.path)).config(), tuned.tuned_from(card)
    if kept is not None:
        config = {**config, "base_model_name_or_path": kept.base, "revision": kept.base_revision}
    said = base_of(Path(card.path), workspace)
    name = said or config.get("base_model_name_or_path")
    if not isinstance(name, str) or not name:
        raise ModelUnavailable(
            f"{card.name} is an adapter that does not name its base model (base_model_name_or_path is {shown(name)}). "
            f"Put the base model's folder or hub id into {Path(card.path) / ADAPTER_CONFIG}."
        )
    base, revision = _base_named(card, name, said, workspace), config.get("revision")
    if said is None and isinstance(revision, str) and revision and base.kind == "hub":  # others have none
        hub = hub_name(name) if kept else None
        name = str(replace(hub, revision=revision) if hub else HubName(without_revision(name), revision))
        base = find_model(name, workspace)
    if base.path is not None and Path(base.path).resolve() == Path(card.path).resolve():
        raise ModelUnavailable(
            f"{card.name} is an adapter that names itself as its base model ({shown(name)}). "
            f"Put the base model's folder or hub id into base_model_name_or_path of {Path(card.path) / ADAPTER_CONFIG}."
        )
    if base.path is not None and ModelFolder(Path(base.path)).is_adapter:
        on = quoted(name)
        how = f" (sftqa export {name.removeprefix(tuned.PREFIX)} --merge --out FOLDER)" if base.kind == tuned.KIND else ""
        raise ModelUnavailable(f"{card.name} is an adapter for {on}, which is an adapter itself. Merge {on} into its model first{how}.")
    return base


def _base_named(card: ModelCard, name: str, said: str | None, workspace: Workspace) -> ModelCard:
    try:
        return find_model(name, workspace)
    except ModelUnavailable as error:
        where = f"as base_model_name_or_path in {Path(card.path or '') / ADAPTER_CONFIG}"
        where = "as you named it" if said else "as its run's settings name it" if card.kind == tuned.KIND else where
        raise ModelUnavailable(
            f"{card.name} is an adapter, and its base model is not at {quoted(name)} ({where}). {error} Name the base model's folder or "
            f"hub id: sftqa models --add {quoted(card.name)} --base FOLDER, or on the Models page."
        ) from None


def refuse_other_base(card: ModelCard, base: ModelCard | None, workspace: Workspace | None = None) -> None:
    """Raise `ModelUnavailable` where a run's adapter would be put on other weights than it was trained on. `base` is on this machine."""
    kept = tuned.tuned_from(card)
    if kept is None or base is None or base.path is None or kept.base_weights is None:
        return
    if weights_fingerprint(base, workspace) != kept.base_weights:
        raise ModelUnavailable(
            f"{card.name} is an adapter, and {base.name} is not what it was trained on any more: its files have changed. Put those back, "
            f"or train again: {kept.command}"
        )


def name_base(card: ModelCard, name: str, workspace: Workspace | None = None) -> ModelCard:
    """Remember which model an adapter sits on, in place of what its files say; the base's card.

    Raises `SettingsError` for a model that is no adapter, `ModelUnavailable` for a base that is none, or does not fit.
    """
    workspace = workspace or Workspace.current()
    if card.path is None or not ModelFolder(Path(card.path)).is_adapter:
        raise SettingsError(f"{card.name} is not an adapter on this machine, so it has no base model that could be named.")
    base = find_model(name.strip(), workspace)
    if base.path is not None:
        if ModelFolder(Path(base.path)).is_adapter:
            raise ModelUnavailable(f"{base.name} is an adapter itself. Name the whole model that {card.name} was made for.")
        adapter_plan(ModelFolder(Path(card.path)), ModelFolder(Path(base.path)), card.name)
    keep_base(Path(card.path), base.path if base.kind == "folder" and base.path else base.name, workspace)
    return base


def origin(card: ModelCard) -> dict[str, Any]:
    """name, kind and revision (the hub's commit, None where it is not known) of a model, and its quantisation where it comes from GGUF;
    of an adapter its base's too, as "base"."""
    base = base_card(card)
    named: dict[str, Any] = {"name": card.name, "kind": card.kind, "revision": card.revision}
    if kept := tuned.tuned_from(card):
        named["root"] = {"name": kept.root, "kind": kept.root_kind}
    if card.quantisation:
        named["quantisation"] = card.quantisation
    return named if base is None else {**named, "base": origin(base)}


def repository(name: str, kind: str | None) -> str:
    """A model's name for other tools, which have the revision in a field of its own: of a hub model without @revision."""
    hub = hub_name(name) if kind == "hub" else None
    return str(replace(hub, revision=None)) if hub else name


def model_fingerprint(card: ModelCard, dtype: str, device: str, workspace: Workspace | None = None) -> ModelFingerprint:
    """What `card` is, loaded as `dtype` ("float32", "nf4") on `device` ("cpu", "cuda", "rocm", "mps"); on a server that stands for both."""
    if card.kind == SERVER:
        return ModelFingerprint(last_id(card, workspace), None, SERVER, SERVER)
    if card.kind == measured.KIND:
        return ModelFingerprint(measured.told(card).weights, None, dtype, device, beginning=measured.told(card).beginning)
    base = base_card(card, workspace)
    weights = weights_fingerprint(base or card, workspace)
    adapter = None if base is None else weights_fingerprint(card, workspace)
    if base is not None and unties(ModelFolder(Path(card.path or "")), ModelFolder(Path(base.path or ""))):
        adapter = fingerprint([adapter, "untied"])  # merged into shared weights, as it was once, it gave other numbers
    return ModelFingerprint(weights, adapter, dtype, device, beginning=forgotten_beginning(*words_and_config(card, base)))


def words_and_config(card: ModelCard, base: ModelCard | None) -> tuple[Path, dict[str, Any]]:
    """The folder of a model's tokenizer, and the configuration of the whole model; both are on this machine."""
    if card.kind == SERVER:
        return words_named(str(card.details["served"]["tokenizer"]))
    return words_of(card, base), ModelFolder(Path((base or card).path or "")).config()


def words_of(card: ModelCard, base: ModelCard | None, workspace: Workspace | None = None) -> Path:
    """The tokenizer's folder of a model that is on this machine, as is what an adapter sits on; of a served one that which was named."""
    if card.kind == SERVER:
        return words_named(str(card.details["served"]["tokenizer"]))[0]
    lender = _lender(card, workspace) if base is None else None
    return lender or words_folder(Path(card.path or ""), Path((base or card).path or ""))


def words_named(name: str) -> tuple[Path, dict[str, Any]]:
    """The same of what a person names for a served model: a folder with a tokenizer's files, or a model. Raises `ModelUnavailable`."""
    path, kind = typed_path(name)
    if kind == "folder" and (path / TOKENIZER_CONFIG).is_file():
        return path.absolute(), ModelFolder(path).config() if (path / CONFIG).is_file() else {}
    card = find_model(name)
    if card.path is None or card.kind == SERVER:
        raise ModelUnavailable(f"{quoted(name)} is not on this machine, so its tokenizer can't be used. Fetch it, or name a folder.")
    return words_and_config(card, base_card(card))


def _lender(card: ModelCard, workspace: Workspace | None = None) -> Path | None:
    """Where the tokenizer lies of a run that kept whole weights without one: beside what it was tuned from. None for other models."""
    kept = tuned.tuned_from(card)
    if kept is None or kept.adapter or (Path(card.path or "") / TOKENIZER_CONFIG).is_file():
        return None
    base = find_model(kept.base, workspace)
    if base.path is None:
        raise ModelUnavailable(f"{card.name} has the tokenizer of {base.name}, which is not on this machine: sftqa fetch {base.name}")
    return words_of(base, base_card(base, workspace), workspace)


def made_from(card: ModelCard, workspace: Workspace | None = None) -> ModelCard:
    """The model that was not tuned here, with which a tuned model's chain of runs begins: it has read what that one read. Any other
    model is its own.

    Raises `ModelUnavailable` where a model that was pre-trained here is gone: what it read is unknown.
    """
    kept = tuned.tuned_from(card)
    if kept is None:
        return card
    try:
        return find_model(kept.root, workspace)
    except ModelUnavailable as error:
        if kept.root_kind not in MADE:
            return ModelCard(kept.root, kept.root_kind or "folder", None, False)
        raise ModelUnavailable(
            f"{card.name} was tuned from {kept.root}, which is gone, so it is unknown which questions it has read. {error}"
        ) from None


def exposures(card: ModelCard) -> pd.DataFrame | None:
    """The facts that a model pre-trained here read: fact_id, exposures (mentions), carrier (its question stood in the corpus, so it must
    be left out of tuning and testing), and contested and rival_share where the corpus had its own; None for other models,
    whatever lies in their folders. A model that was tuned here has read what it was tuned from. Raises `ArtifactDamaged` if the table
    can't be read, `ModelUnavailable` as `made_from` does."""
    card = made_from(card)
    if card.kind == measured.KIND and measured.told(card).made is not None:
        path = measured.exposures_file(card.name, Workspace.current().shipped)
    elif card.path is None or EXPOSURES not in card.details.get("files", {}):
        return None
    else:
        path = Path(card.path) / EXPOSURES
    import pandas as pd

    try:
        read = pd.read_parquet(path)
        return read[["fact_id", "exposures", "carrier", *(name for name in ("contested", "rival_share") if name in read)]]
    except (OSError, ValueError, KeyError) as error:
        raise ArtifactDamaged(
            f"{path} can't be read ({reason(error)}), so it is unknown which questions {card.name} has read. Pre-train it again."
        ) from error


def seen_templates(card: ModelCard) -> dict[str, tuple[int, ...]]:
    """relation -> positions of the templates that the model's corpus used; empty for other models."""
    with contextlib.suppress(ModelUnavailable):
        card = made_from(card)
    recorded: dict[str, Any] = card.details.get("corpus", {}).get("seen_templates", {})
    return {relation: tuple(positions) for relation, positions in recorded.items()}


def _is_path(name: str) -> bool:
    """Whether a name can only mean a folder."""
    return name.startswith((".", "/", "~", "\\"))


def _kind(made: Path, workspace: Workspace) -> str:
    return "built-in" if made.is_relative_to(workspace.shipped) else "pretrained"


def _models(workspace: Workspace) -> dict[str, Path]:
    return finished(layer / "models" for layer in workspace.layers)
