"""Every model that can be chosen: here, added, or known of; with what it needs and whether that fits. Asks no network, loads no torch.

sftqa models [--add NAME | --remove NAME]
"""

from dataclasses import dataclass, replace
from pathlib import Path

from sftqa_core.engine.capacity import context_window
from sftqa_core.errors import ArtifactDamaged, MissingPackage, SettingsError, SftqaError
from sftqa_core.jsonrecord import Record
from sftqa_core.models import catalogue, devices, measured, model_files, quantising, tuned
from sftqa_core.models.footprint import Shape, TuningStep, decoding, tuning
from sftqa_core.models.gguf import gguf_reading
from sftqa_core.models.gguf.gguf_models import KIND, GgufModel
from sftqa_core.models.hub.fetch import has_token
from sftqa_core.models.lists import HubModel, added_models, drop_added, hub_models, keep_added, kind_of_model, known_model
from sftqa_core.models.serving.addresses import KIND as SERVER
from sftqa_core.models.serving.addresses import require_allowed, server_name, why_not_allowed
from sftqa_core.planning.fit import OPEN, PROCESS_BYTES, gigabytes, model_shape
from sftqa_core.records import LevelScheme, ModelCard, TrainSettings
from sftqa_core.workspace import typed_path

WORKS = ("probe", "lora", "lora_4bit", "full")  # whose needs are estimated
FITS = ("now", "not now", "no", "unknown")  # beside what is free; beside all there is; not at all; the device can't be asked
STATES = ("here", "to read", "downloadable", "gated", "not asked", "server", "results only", "unusable")
LENGTH = 32  # tokens of a statement, or of an example; the longest statement of the built-in world has 25
PLACES = 8  # prompts that a probe reads at once
_USUAL = TrainSettings("any")
_LICENCES = {"built-in": "MIT", "pretrained": "yours"}
_ACCEPT = "Accept its terms once, with your account, on its page huggingface.co/{}."
_LOGIN = "Then log in on this machine: `hf auth login`."
_LOGGED_IN = "This machine is logged in to the hub; it must be the same account."


@dataclass(frozen=True)
class Need(Record):
    """RAM or GPU memory of one kind of work, at the usual settings, on one device."""

    work: str  # one of WORKS
    size_bytes: int  # at the peak, the process itself included, without what the system can take back
    fits: str  # one of FITS


@dataclass(frozen=True)
class Offer(Record):
    """One model, and how things stand with it."""

    card: ModelCard
    state: str  # one of STATES
    todo: str = ""  # what the person has to do before it can be used, in a sentence or two
    added: bool = False  # by the person, who can take it off the list
    family: str | None = None
    licence: str | None = None
    chat: bool | None = None
    context: int | None = None  # tokens
    size_bytes: int | None = None  # of the download, about
    needs: tuple[Need, ...] = ()  # empty where its widths are not known
    advised: bool = False  # as one of the first real models to try

    def need(self, work: str) -> Need | None:
        """What one kind of work needs; None where that is not known or can't be done on the device."""
        return next((need for need in self.needs if need.work == work), None)


@dataclass(frozen=True)
class Offered(Record):
    """The whole table."""

    device: str  # that needs are estimated for: cpu, cuda, rocm or mps
    free: int | None  # bytes of its RAM now; None where this machine has no such device
    total: int | None
    lacking: str = ""  # what has to be installed before all of WORKS can be done, in a sentence
    offers: tuple[Offer, ...] = ()  # what is here first, then what was added, then what is known of
    notes: tuple[str, ...] = ()  # what went wrong, a sentence each


def offered_models(device: str = "auto") -> Offered:
    """The table for a device: of a setting (auto: this machine's), or of one that is not here, whose room is then unknown.

    Raises `SettingsError` for an unknown device.
    """
    kind, ram, lacking, notes, added = device, None, "", [], []
    try:
        kind = devices.resolve_device(device)
        ram = devices.device_ram(devices.chosen_device(device))
    except SettingsError:
        if device not in PROCESS_BYTES:
            raise
    try:
        quantising.require_quantiser(quantising.NF4, kind)
    except MissingPackage:
        lacking = f"Work in 4 bits needs {quantising.PACKAGE}, which is not installed: {quantising.INSTALL}."
    except SettingsError:  # that device never does it
        pass
    try:
        added = added_models()
    except SftqaError as error:
        kept = " The file is moved aside and kept as soon as you add a model." if type(error) is ArtifactDamaged else ""
        notes.append(f"{error} Added models are not shown.{kept}")
    login = has_token()
    by_name: dict[str, Offer] = {}
    for card in catalogue.list_models():
        run = tuned.tuned_from(card)
        by_name[card.name] = _tuned(card, by_name.get(run.root)) if run else _listed(card, card.name in added, kind, ram, login)
    offers = list(by_name.values())
    there = {offer.card.name for offer in offers}
    offers.sort(key=lambda offer: offer.state not in ("here", "to read", "server"))  # the lists' order otherwise
    offers += [_known(model, kind, ram, login) for model in hub_models().values() if model.name not in there]
    return Offered(kind, ram.free if ram else None, ram.total if ram else None, lacking, tuple(offers), tuple(notes))


def add_model(name: str, base: str = "", tokenizer: str = "") -> tuple[ModelCard, str]:
    """Put a hub id, a folder, a GGUF file or a model on a server on the lists; its card, and a note for the person. Neither hub nor server
    is asked. `base`: the model that an adapter sits on, where its files name another place; `tokenizer`: what has a served model's.

    Raises `ModelUnavailable` for what can be neither, and for a folder without a usable model; `SettingsError` for a built-in model
    or one that was made here, which are listed anyway, and for a server that may not be asked.
    """
    card = catalogue.find_model(name.strip())
    if (served := server_name(card.name)) is not None:
        require_allowed(served)
        if tokenizer.strip():
            from sftqa_core.models.serving.served_models import name_tokenizer

            name_tokenizer(served, tokenizer.strip())
        return catalogue.find_model(card.name), keep_added(card.name)
    if tokenizer.strip():
        raise SettingsError(f"{card.name} has its own tokenizer. --tokenizer is for a model on a server: http://host:8000/v1#model")
    if card.kind == tuned.KIND:
        if not base.strip():
            raise SettingsError(f"{card.name} is already listed: it was tuned here.")
        catalogue.name_base(card, base)
        return card, ""
    if card.kind in OPEN:
        raise SettingsError(f"{card.name} is already listed: it {'is built in' if card.kind == 'built-in' else 'was made here'}.")
    whole = card.path if card.kind == "folder" else str(typed_path(name.strip())[0].absolute()) if card.kind == KIND else None
    if whole and whole != card.name:
        card = catalogue.find_model(whole)  # by its whole path, which means the same in any folder
    if base.strip():
        catalogue.name_base(card, base)
    return card, keep_added(card.name)


def remove_model(name: str) -> str:
    """Take an added model off the lists; its files stay. Returns a note for the person. Raises `NotFound` for another name."""
    return drop_added(name.strip())


def _listed(card: ModelCard, added: bool, device: str, ram: devices.DeviceRam | None, login: bool) -> Offer:
    if card.kind == SERVER and not card.available:
        return Offer(card, "unusable", card.note, added)
    if (served := server_name(card.name)) is not None:
        return Offer(card, "server", why_not_allowed(served), added, context=card.details.get("served", {}).get("window"))
    if card.kind == measured.KIND:
        return Offer(card, "results only", card.note, added, licence=measured.told(card).licence)
    listed = known_model(card.name) if card.kind == "hub" else None
    if card.path is None and listed is not None:
        return _known(listed, device, ram, login, card, added)
    if card.note == catalogue.NOT_HERE:
        return Offer(card, "not asked", "The hub is asked for it, and for its terms, on download.", added)
    try:
        shape, context, todo = None, None, ""
        if card.available:
            if gguf := gguf_reading.source_of(card) if card.path is None else None:
                return _to_read(card, gguf, added, device, ram)
            shape, base = model_shape(card), catalogue.base_card(card)
            if base is not None and base.path is None:
                todo = f"It is an adapter for {base.name}, which is not on this machine yet and is downloaded on first use."
            context = context_window(model_files.ModelFolder(Path(card.path)).config()) if card.path else None
    except SftqaError as error:  # an adapter whose base model is nowhere, a folder that went away meanwhile
        return Offer(card, "unusable", str(error), added)
    if not card.available:
        return Offer(card, "unusable", card.note, added)
    return Offer(
        card,
        "here",
        todo,
        added,
        family=listed.family if listed else None,
        licence=listed.licence if listed else card.details.get("gguf", {}).get("license") or _LICENCES.get(card.kind),
        chat={"chat": True, "base": False}.get(kind_of_model(card.name, kind=card.kind)),
        context=listed.context if listed else context,
        needs=needs(shape, device, ram, OPEN.get(card.kind, 1.0)),
        advised=bool(listed and listed.advised),
    )


def _tuned(card: ModelCard, base: Offer | None) -> Offer:
    """What a run kept needs as much as what it was tuned from; its files are not read, since there may be a thousand of them."""
    if base is None:
        return Offer(card, "here", "Its base model is not listed here, so its needs are not known.")
    todo = "" if base.state == "here" or card.architecture != "lora adapter" else f"It is an adapter on {base.card.name}: see there."
    return replace(base, card=card, state="here", todo=todo, added=False, size_bytes=None)


def _to_read(card: ModelCard, gguf: GgufModel, added: bool, device: str, ram: devices.DeviceRam | None) -> Offer:
    """A GGUF model before its first use."""
    wanted, context = gguf_reading.need(gguf), gguf.config().get("max_position_embeddings")
    todo = f"It is read into the cache on first use, once: about {gigabytes(wanted.ram)} of RAM, {gigabytes(wanted.disk)} on the disk."
    try:
        gguf_reading.refuse_reading(gguf, card.name)
    except SftqaError as error:
        todo = str(error)
    licence = card.details["gguf"].get("license")
    return Offer(card, "to read", todo, added, licence=licence, context=context, needs=needs(model_shape(card), device, ram))


def _known(
    model: HubModel, device: str, ram: devices.DeviceRam | None, login: bool, card: ModelCard | None = None, added: bool = False
) -> Offer:
    if card is None:
        card = ModelCard(model.name, "hub", None, False, model.config["model_type"], model.parameters)
    todo = f"{_ACCEPT.format(model.name)} {_LOGGED_IN if login else _LOGIN}" if model.gated else ""
    return Offer(
        card,
        "gated" if model.gated else "downloadable",
        todo,
        added,
        model.family,
        model.licence,
        model.chat,
        model.context,
        model.size_bytes,
        needs(model.shape, device, ram),
        model.advised,
    )


def needs(shape: Shape | None, device: str, ram: devices.DeviceRam | None, open_share: float = 1.0) -> tuple[Need, ...]:
    """What each kind of work needs, with texts of LENGTH tokens, the usual batch size, LoRA rank and probe, and PLACES prompts at
    once: with more room a probe takes more of them, and needs more. Empty where the widths are not known."""
    if shape is None:
        return ()
    plain = LevelScheme().sampling
    footprints = {"probe": decoding(shape, device, PLACES, plain.draws, LENGTH, plain.max_new_tokens, open_share)}
    tuned = {"lora": (shape, "lora"), "lora_4bit": (shape.in_4_bits(), "lora"), "full": (shape, "full")}
    for work, (held, method) in tuned.items():
        if work != "lora_4bit" or device in quantising.DEVICES:
            footprints[work] = tuning(held, device, TuningStep.of(replace(_USUAL, method=method), _USUAL.batch_size, LENGTH))
    sizes = {work: footprint.least + PROCESS_BYTES[device] for work, footprint in footprints.items()}
    fits = {w: "unknown" if ram is None else "now" if s <= ram.free else "not now" if s <= ram.total else "no" for w, s in sizes.items()}
    return tuple(Need(work, size, fits[work]) for work, size in sizes.items())
