"""Weights held otherwise than the device has them: in 4 bits, or on a processor in bfloat16. Light until a model is loaded.

`quantization` says which, here and wherever it is passed on: "nf4", "bfloat16" or "none" (`records.probes.held_as`).

In 4 bits: NF4 with double quantisation, as QLoRA has base weights (arXiv 2305.14314, section 3).

The layers' matrices are quantised while their file is read. Embeddings, norms and the output head keep the device's number format, and
all is computed in it: a matrix is widened when it is used. bitsandbytes does that, an optional package.

On a processor its own bfloat16 kernels are left out. They would pack the weights anew, with coarser scales, as soon as a model answers,
so that it would not be trained on the weights it was loaded with, and other processors would give other numbers.

A model in 4 bits counts as another model than the whole one: the number format in its fingerprint gives it its own stores, answers and
cells. Verified on a processor; it has never run on a GPU here.

bfloat16 is a GPU's own number format, so there it changes nothing, and the keys are the same. On a processor, whose own is float32, such a
model counts as another one, too. Only probes can ask for it: training on a processor stays in float32.
"""

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from sftqa_core.errors import MissingPackage, ModelUnavailable, SettingsError
from sftqa_core.models import catalogue, devices, model_files, tuned
from sftqa_core.models.adapter_files import AdapterPlan, adapter_plan
from sftqa_core.records import ModelCard, TrainSettings

NF4, BFLOAT16 = "nf4", devices.BFLOAT16
DEVICES = ("cpu", "cuda", "rocm")  # on which weights can be held so
PACKAGE = "bitsandbytes"
INSTALL = "pip install bitsandbytes==0.50.2"


def number_format(device: str, quantization: str) -> str:
    """The format of a model's weights in its fingerprint: "nf4", or what is computed in."""
    return NF4 if quantization == NF4 else computed_in(device, quantization)


def computed_in(device: str, quantization: str) -> str:
    """The number format that a resolved device computes in, and holds weights in that are not in 4 bits."""
    return BFLOAT16 if quantization == BFLOAT16 else devices.NUMBER_FORMATS[device]


def held_in(dtype: str, device: str) -> str:
    """The quantization that a fingerprint's number format and device tell of: "none" for every device's own format."""
    asked_for = dtype == NF4 or (dtype == BFLOAT16 and devices.NUMBER_FORMATS.get(device.partition(":")[0]) != BFLOAT16)
    return dtype if asked_for else "none"


def is_of(model: Mapping[str, Any], quantization: str) -> bool:
    """Whether results of a model (its fingerprint's JSON) are of weights held so. Those in the devices' own formats stand for each other
    where results are only read; those in 4 bits, and a processor's in bfloat16, are never mixed with others."""
    return held_in(model["dtype"], model["device"]) == quantization


def usable_device(setting: str, gpus: int = 1, quantization: str = "none") -> str:
    """The device that work with these settings computes on (see devices.py).

    Raises `SettingsError` for a device that can't be used, for more GPUs than there are, and for a quantization that the device does
    not support; `MissingPackage` where the quantiser is not installed.
    """
    device, (kind, gpu) = devices.resolve_device(setting), devices.numbered(setting)
    if gpu and gpus > 1:
        raise SettingsError(f"device {setting} is one GPU, and the work asks for {gpus}. Choose device {kind}, or one GPU.")
    if gpus > 1:
        devices.require_gpus(gpus, 0 if device == "cpu" else len(devices.visible_gpus()))
    require_quantiser(quantization, device)
    return device


def require_quantiser(quantization: str, device: str) -> None:
    """Raise `SettingsError` or `MissingPackage` where the resolved device can't have weights in this quantization."""
    if quantization == BFLOAT16 and device == "mps":
        raise SettingsError("bfloat16 is not used on Apple's GPU, which computes in float32. Choose device cpu, or number format default.")
    if quantization != NF4:
        return
    if device not in DEVICES:
        raise SettingsError("Weights in 4 bits (nf4) can't be used on Apple's GPU. Choose device cpu, or quantization none.")
    if find_spec(PACKAGE) is None:
        raise MissingPackage(f"Weights in 4 bits (nf4) need {PACKAGE}, which is not installed: {INSTALL}. Or choose quantization none.")


def refuse_second_adapter(card: ModelCard, settings: TrainSettings) -> None:
    """Raise `SettingsError` for training on an adapter's model in 4 bits: the adapter can't be merged into such weights without loss,
    so it stays beside them, where a second one has no place. Likewise for keeping an adapter on an adapter, which could never be loaded."""
    kept = settings.method == "lora" and settings.save_model
    if settings.n == 0 or not (settings.quantization == NF4 or kept) or catalogue.base_card(card) is None:
        return
    if settings.quantization == NF4:
        raise SettingsError(
            f"{card.name} is an adapter, and no second adapter can be trained while its model is in 4 bits (nf4). "
            "Merge it first (sftqa export --merge), or choose quantization none."
        )
    run = card.name.removeprefix(tuned.PREFIX) if card.kind == tuned.KIND else ""
    first = f"Merge it first (sftqa export {run} --merge --out FOLDER) and tune that folder" if run else "Merge it into its model first"
    raise SettingsError(
        f"{card.name} is an adapter, and an adapter that was trained on it could not be loaded again. {first}, choose method full, "
        "or do not keep the tuned weights (--no-save-model)."
    )


def plan_for(base: model_files.ModelFolder, adapter: model_files.ModelFolder | None, name: str, quantization: str) -> AdapterPlan:
    """What is done to a model before an adapter is put on it, nothing without one.

    Raises `ModelUnavailable` for a model, or an adapter on it, that is never loaded (with this quantization).
    """
    model_files.refuse_huge(base, name)
    refuse_quantised(base.config(), name, quantization)
    return AdapterPlan() if adapter is None else adapter_plan(adapter, base, name)


def refuse_quantised(config: Mapping[str, Any], name: str, quantization: str) -> None:
    """Raise `ModelUnavailable` for a model whose files already hold quantised weights: of any kind with nf4, else those of bitsandbytes,
    which can't be converted to another number format. Other kinds are widened when they are loaded, or lack their package."""
    stored = config.get("quantization_config")
    by_package = isinstance(stored, Mapping) and str(stored.get("quant_method")).startswith(PACKAGE)
    if stored and (quantization == NF4 or by_package):
        raise ModelUnavailable(f"{name} is already quantised in another way. Choose the unquantised model.")


def nf4_settings(compute: Any) -> Any:
    """Heavy: the settings for transformers; `compute` is the torch dtype that is computed in."""
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type=NF4, bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=compute
    )  # fmt: skip


def keep_as_loaded(model: Any, name: str) -> None:
    """Heavy: forbid every layer in 4 bits to pack its weights anew. Raises `SettingsError` for a model without such a layer."""
    layers = [module for module in model.modules() if hasattr(module, "support_avx512bf16_for_cpu")]
    if not layers:
        raise SettingsError(f"{name} has no linear layers to quantise. Choose quantization none.")
    for layer in layers:
        layer.support_avx512bf16_for_cpu = False


def scales(model: Any) -> list[Any]:
    """The scales that layers in 4 bits keep beside their weights, an object a layer; empty for a whole model."""
    return [state for module in model.modules() if (state := getattr(module, "quant_state", None)) is not None]
