"""Heavy: load a model, and the adapter on it, in one way for all of them.

Safetensors only, no code from model folders, the device and number format that devices.py says whatever the file holds, and
plain generation settings in place of the model's own (METHOD 8.2). Foreign errors become those of errors.py here. torch,
transformers and peft are imported when they are needed: code that only reads token ids does without them.
"""

import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from sftqa_core.errors import MissingPackage, ModelUnavailable, OutOfMemory, SettingsError, SftqaError, first_line
from sftqa_core.jsonrecord import shown
from sftqa_core.models import catalogue, devices, model_files, quantising
from sftqa_core.models.adapter_files import AdapterPlan
from sftqa_core.models.hub.fetch import present, present_base
from sftqa_core.models.light_tokenizers import SAVE, beginning_ids, needs_beginning
from sftqa_core.progress import MODEL, Reporter, uncounted
from sftqa_core.records import ModelCard

NO_PLAN = AdapterPlan()
INSTALL = "pip install torch transformers"
LINE_BREAK = "\n"  # a border that no tokenizer merges over
FITTING = "Fetch the tokenizer that belongs to the model."
_SAMPLE = "The capital of"


def end_ids(model: Any, tokenizer: Any, name: str) -> tuple[int, ...]:
    """The tokenizer's end token, which tuning teaches, then the configuration's: some models name several."""
    named = model.config.eos_token_id
    candidates = [tokenizer.eos_token_id, *(named if isinstance(named, (list, tuple)) else [named])]
    ends = tuple(dict.fromkeys(int(token) for token in candidates if token is not None))
    if not ends:
        raise ModelUnavailable(f"{model.config.model_type} names no end token, so no answer would ever end. Set its tokenizer's eos_token.")
    if ends[0] >= (rows := model.get_input_embeddings().weight.shape[0]):
        raise ModelUnavailable(
            f"{name} can't be used: the end token is number {ends[0]:,}, but the model knows {rows:,} tokens. "
            "Fetch the tokenizer that belongs to the model, or set eos_token in its tokenizer_config.json to a token that is there."
        )
    return ends


def pad_id(model: Any, tokenizer: Any, ends: tuple[int, ...]) -> int:
    """The padding token where the model has an embedding for it, which is looked up though never attended to. Else the end token."""
    pad = tokenizer.pad_token_id
    return int(pad) if pad is not None and pad < model.get_input_embeddings().weight.shape[0] else ends[0]


def merged(model: Any, folder: Path, plan: AdapterPlan = NO_PLAN) -> Any:
    """`model` with the adapter of a folder in its weights."""
    with without_stale_warning():
        whole = beside(model, folder, plan).merge_and_unload()
    head = whole.get_output_embeddings()
    if head is not None and head.weight is not whole.get_input_embeddings().weight:
        whole.config.tie_word_embeddings = False  # else saving it would drop a head that the adapter brought
    return whole


def beside(model: Any, folder: Path, plan: AdapterPlan = NO_PLAN) -> Any:
    """`model` with the adapter of a folder beside its weights, which stay as they are; before, what `plan` says is done to it."""
    from peft import LoraConfig, PeftModel

    _prepare(model, plan)
    config = None
    if plan.layers is not None:
        config = LoraConfig.from_pretrained(folder)
        config.target_modules, config.exclude_modules = set(plan.layers), None
        config.layers_to_transform = config.layers_pattern = None  # all layers are named
        config.inference_mode = True
    with without_stale_warning():
        return PeftModel.from_pretrained(model, folder, config=config, local_files_only=True)


def _prepare(model: Any, plan: AdapterPlan) -> None:
    import torch

    if plan.rows is not None:
        with torch.random.fork_rng(devices=[]):  # the new rows are drawn, and then come from the adapter
            model.resize_token_embeddings(plan.rows, mean_resizing=False)
    head, words = model.get_output_embeddings(), model.get_input_embeddings()
    if plan.untied and head is not None and head.weight is words.weight:
        head.weight = torch.nn.Parameter(words.weight.detach().clone(), requires_grad=words.weight.requires_grad)
        model.config.tie_word_embeddings = False


@contextmanager
def without_stale_warning() -> Iterator[None]:
    """peft reads a name that transformers has deprecated, on a model that gets an adapter; nothing here can change that."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*", category=FutureWarning)
        yield


def transposed(model: Any) -> bool:
    """Whether its layers keep their matrices transposed (GPT-2's Conv1D), which an adapter's settings must state (fan_in_fan_out).

    In 4 bits the answer is that of the whole model, with which the adapter will be read.
    """
    from transformers.pytorch_utils import Conv1D

    return any(isinstance(module, Conv1D) or getattr(module, "source_cls", None) is Conv1D for module in model.modules())


@dataclass
class LoadedModel:
    """A model ready to run, in evaluation mode. Stays inside models, memory, training and evaluation."""

    card: ModelCard
    model: Any  # transformers PreTrainedModel, on `device`
    tokenizer: Any
    device: str  # what computes: cpu, cuda, rocm or mps (see devices.py)
    dtype: str  # in which it computes, float32 or bfloat16; the fingerprint has that of its weights
    fingerprint: catalogue.ModelFingerprint
    bos_ids: list[int]  # what stands in front of a text: the tokenizer's, or what it forgets; empty for models without
    end_ids: tuple[int, ...]  # tokens that end a text; the first is the tokenizer's own
    pad_id: int  # differs from the end token wherever the tokenizer has a padding token
    gpus: int = 1  # that the model is spread over (see spreading.py)

    @property
    def vocabulary(self) -> int:
        """Tokens that it has embeddings for."""
        return int(self.model.get_input_embeddings().weight.shape[0])

    @property
    def model_type(self) -> str:
        """Its architecture, as its configuration names it."""
        return str(self.model.config.model_type)


class Reader(Protocol):
    """What texts are encoded for: a `LoadedModel`, or one on a server (serving/served_models.py)."""

    @property
    def card(self) -> ModelCard: ...
    @property
    def tokenizer(self) -> Any:
        """None for a server whose tokenizer nobody named: it is sent texts."""

    @property
    def bos_ids(self) -> list[int]: ...
    @property
    def end_ids(self) -> tuple[int, ...]: ...
    @property
    def vocabulary(self) -> int | None:
        """None where it is not known."""

    @property
    def model_type(self) -> str: ...


@contextmanager
def no_progress_bar() -> Iterator[None]:
    """Keep transformers' own bars off the terminal while models are read and written."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def load_model(
    card: ModelCard, device: str = "auto", gpus: int = 1, reporter: Reporter | None = None, quantization: str = "none"
) -> LoadedModel:
    """Load `card` on `device` ("auto" takes a GPU if there is one, see devices.py), downloading a hub model first if need be.

    With several `gpus` its layers are divided among the first ones that this process sees. An adapter is merged into its
    base model, in float32; with `quantization` "nf4" (quantising.py; "bfloat16" is the other) it stays beside it. Raises `SettingsError`
    for a device that can't be used, `ModelUnavailable`, `MissingPackage` or `OutOfMemory`.
    """
    with explained(card.name):
        import torch
        from transformers import AutoTokenizer, GenerationConfig

        from sftqa_core.models.spreading import is_spread, layer_places, spread

        place = _device(device, gpus)
        name, nf4 = quantising.computed_in(place, quantization), quantization == quantising.NF4
        compute = getattr(torch, name)
        quantising.require_quantiser(quantization, place)
        card = present(card, reporter)
        base = catalogue.base_card(card)
        own = Path(card.path or "")
        if base is not None:
            base = present_base(card, base, reporter)
            catalogue.refuse_other_base(card, base)
        if reporter is not None:
            uncounted(reporter, MODEL)
        folder = own if base is None else Path(base.path or "")
        _refuse_code(folder, card.name)
        adapter = model_files.ModelFolder(own) if base else None
        plan = quantising.plan_for(model_files.ModelFolder(folder), adapter, card.name, quantization)
        if nf4:
            four_bits = quantising.nf4_settings(compute)  # it is quantised on its device while it is read
            model = _weights(folder, compute, quantization_config=four_bits, device_map={"": devices.torch_device(place)})
            quantising.keep_as_loaded(model, card.name)
        else:
            model = _weights(folder, torch.float32 if base else compute, 1 if base else gpus)
        if base is not None:
            model = (beside if nf4 else merged)(model, own, plan)
        words = catalogue.words_of(card, base)
        model_files.refuse_growing_tokenizer(model_files.ModelFolder(words), card.name)
        tokenizer = AutoTokenizer.from_pretrained(words, trust_remote_code=False, local_files_only=True)
        _refuse_other_tokenizer(model, tokenizer, card.name)
        if gpus > 1 and not nf4:
            model = model if is_spread(model) else spread(model.to(compute), layer_places(model, range(gpus)))
        elif not nf4:
            model = model.to(device=devices.torch_device(place), dtype=compute)
        model.eval()
        ends = end_ids(model, tokenizer, card.name)
        pad = pad_id(model, tokenizer, ends)
        # the model's own top-p or repetition penalty would survive a merge
        model.generation_config = GenerationConfig(eos_token_id=list(ends), pad_token_id=pad, do_sample=False)
        identity = catalogue.model_fingerprint(card, quantising.number_format(place, quantization), place)
        return LoadedModel(
            card, model, tokenizer, place, name, identity, _beginning(model, tokenizer, identity, card.name), ends, pad, gpus
        )


def _beginning(model: Any, tokenizer: Any, identity: catalogue.ModelFingerprint, name: str) -> list[int]:
    put = beginning_ids(tokenizer)
    if identity.beginning is not None:  # what its files say (light_tokenizers.py), and so the key
        return [identity.beginning]
    if not put and needs_beginning(model.config.model_type):
        raise ModelUnavailable(f"{name} can't be used: its tokenizer puts no beginning token in front, and has no tokenizer.json. {SAVE}")
    return put


def encode_prompts(loaded: Reader, texts: Sequence[str]) -> list[list[int]]:
    """Token ids of each text with what the tokenizer puts in front, and nothing after it; none where the tokenizer is not known."""
    if not texts or loaded.tokenizer is None:
        return [[] for _ in texts]
    with tokenizer_panics():
        encoded = loaded.tokenizer(list(texts), add_special_tokens=False)["input_ids"]
    rows = [[*loaded.bos_ids, *ids] for ids in encoded]
    require_known(loaded, rows, texts)
    return rows


def require_known(loaded: Reader, rows: Sequence[Sequence[int]], texts: Sequence[str]) -> None:
    """Raise `ModelUnavailable` unless every row of token ids, one a text, holds ids, and only those that the model has embeddings for."""
    rows_known = loaded.vocabulary
    for ids, text in zip(rows, texts, strict=True):
        if not ids and not text:
            continue  # an empty document, which only its end token follows
        if not ids:
            raise ModelUnavailable(f"{loaded.card.name} can't read {shown(text)}: its tokenizer makes no token of it.")
        if rows_known is not None and max(ids) >= rows_known:
            raise ModelUnavailable(
                f"{loaded.card.name} can't read {shown(text)}: its tokenizer makes token {max(ids):,} of it, "
                f"but the model knows {rows_known:,} tokens. Fetch the tokenizer that belongs to the model."
            )


def continuation(tokenizer: Any, prompt: str, reply: str) -> list[int]:
    """Ids of `reply` as it is written after `prompt`, or after a line break where the two would grow together (training/encoding.py)."""
    for before in (prompt, LINE_BREAK):
        head, whole = plain_ids(tokenizer, before), plain_ids(tokenizer, before + reply)
        if whole[: len(head)] == head and len(whole) > len(head):
            return whole[len(head) :]
    return plain_ids(tokenizer, reply)


def plain_ids(tokenizer: Any, text: str) -> list[int]:
    """Token ids of a text without the tokenizer's own special tokens."""
    with tokenizer_panics():
        return list(tokenizer(text, add_special_tokens=False)["input_ids"])


@contextmanager
def tokenizer_panics() -> Iterator[None]:
    """The tokenizers library panics where it gives up, for example at an endless pattern; that is no `Exception`."""
    try:
        yield
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise ModelUnavailable(f"The model's tokenizer failed ({first_line(error)}). Fetch the model again, or choose another.") from error


@contextmanager
def explained(name: str) -> Iterator[None]:
    """Turn what torch, transformers and peft raise while a model is loaded into an error for people."""
    try:
        with tokenizer_panics():
            yield
    except SftqaError:
        raise
    except ImportError as error:
        package = (error.name or "").partition(".")[0]
        if not package:  # transformers names no package for what a model's settings need, such as a quantiser
            raise MissingPackage(f"Loading {name} needs a package that is not installed. {first_line(error)}.") from error
        wanted = INSTALL if package in ("torch", "transformers") else f"pip install {package}"
        raise MissingPackage(f"Loading {name} needs a package that is not installed ({package}): {wanted}.") from error
    except MemoryError as error:
        raise OutOfMemory(f"{name} does not fit into RAM. Close other programs or choose a smaller model.") from error
    except Exception as error:  # transformers raises nearly every class there is
        if type(error).__name__ == "OutOfMemoryError" or any(words in str(error) for words in ("can't allocate memory", "out of memory")):
            raise OutOfMemory(f"{name} does not fit into the device's memory. Choose device cpu or a smaller model.") from error
        raise ModelUnavailable(
            f"{name} could not be loaded: {first_line(error)}. Fetch or save it again, or choose another model."
        ) from error


def _device(wanted: str, gpus: int) -> str:
    import torch

    place = devices.resolve_device(wanted)
    if place != "cpu" and not (torch.backends.mps if place == "mps" else torch.cuda).is_available():
        # never the processor instead: this work holds the GPU's lease
        reason = "it needs a newer macOS" if place == "mps" else "`sftqa doctor` says more"
        raise SettingsError(f"There is a GPU here, but torch can't use it: {reason}. Choose device cpu.")
    if gpus > 1:
        devices.require_gpus(gpus, torch.cuda.device_count() if place in devices.SEPARATE else 0)
    return place


def _refuse_code(folder: Path, name: str) -> None:
    """A model type that this transformers does not know would need the code in the model's own folder."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    config = model_files.ModelFolder(folder).config()
    kind = config.get("model_type")
    if kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        return
    if config.get("auto_map"):
        raise ModelUnavailable(
            f"{name} brings its own program code (auto_map), which is never run here. Choose a model whose type transformers knows itself."
        )
    raise ModelUnavailable(
        f"{name} is of type {kind!r}, which the installed transformers does not support as a causal language model. "
        "Choose another model, or upgrade transformers."
    )


def _weights(folder: Path, dtype: Any, gpus: int = 1, **more: Any) -> Any:
    from transformers import AutoConfig, AutoModelForCausalLM

    from sftqa_core.models.spreading import places_of

    here: dict[str, Any] = {"trust_remote_code": False, "local_files_only": True}
    config = AutoConfig.from_pretrained(folder, **here)
    config._attn_implementation = config._experts_implementation = None  # a folder may name program code of the hub here
    if gpus > 1:  # read straight to where it belongs: RAM may be smaller than the model
        more["device_map"] = places_of(config, range(gpus))
    with no_progress_bar():
        model, report = AutoModelForCausalLM.from_pretrained(
            folder, config=config, dtype=dtype, use_safetensors=True, output_loading_info=True, **here, **more
        )
    lacking = sorted(report["missing_keys"])
    if lacking:  # transformers would go on with random numbers in their place
        raise ModelUnavailable(
            f"{folder} lacks {len(lacking)} of the model's weights ({lacking[0]} and so on): the download is incomplete, or it "
            "is not a causal language model. Fetch or save it again, or choose another model."
        )
    return model


def foreign_tokens(known: Mapping[str, int], special: Collection[int], rows: int) -> str | None:
    """Which tokens of a tokenizer a model of `rows` embeddings does not know, in words; None if it knows all.

    Ordinary ones mean another model's tokenizer. A special one, such as padding, may lie beyond: it is never read.
    """
    beyond = {token: text for text, token in known.items() if token >= rows and token not in special}
    if not beyond:
        return None
    most = max(beyond)
    unknown = f"tokenizer knows {len(beyond):,} tokens that the model does not, such as {shown(beyond[most])}"
    return f"{unknown} ({most:,}; the model knows {rows:,})"


def _refuse_other_tokenizer(model: Any, tokenizer: Any, name: str) -> None:
    rows, special = model.get_input_embeddings().weight.shape[0], set(tokenizer.all_special_ids)
    special |= {token for token, added in tokenizer.added_tokens_decoder.items() if added.special}
    if wrong := foreign_tokens(tokenizer.get_vocab(), special, rows):
        raise ModelUnavailable(f"{name} can't be used: its {wrong}. {FITTING}")
    if not plain_ids(tokenizer, _SAMPLE):
        raise ModelUnavailable(f"{name} can't be used: its tokenizer makes no token of {_SAMPLE!r}. Fetch it again.")
