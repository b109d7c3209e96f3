"""Heavy, and a process of its own: reads one GGUF model by transformers and writes safetensors, configuration and tokenizer. See
gguf_reading.py, which starts it.

It gets {"parts": [paths], "work": folder, "limit_bytes"} and answers, as processes.py says, {"step": name} as it goes on, then
{"done": true} or {"error": "...", "kind": "ModelUnavailable"}. Memory and the size of a file are limited by the system, and nothing can
connect anywhere.

transformers' reader passes over some settings; `_mended` and `_mended_tokenizer` set them. Each is a rule of llama.cpp, which wrote the
file: what it does with the same setting is named there.
"""

import contextlib
import json
import math
import shutil
import signal
import struct
import sys
import warnings
from pathlib import Path
from typing import Any

from sftqa_core.errors import ModelUnavailable, SftqaError, StorageError
from sftqa_core.models.gguf.gguf_header import MAGIC, STORED
from sftqa_core.models.gguf.gguf_models import CUT_BY_DIGIT, CUT_WITH_BEGINNING, GgufModel, gguf_at, refuse_unreadable
from sftqa_core.models.gguf.gguf_reading import link
from sftqa_core.processes import asked, say

SLACK_BYTES = 3_000_000_000  # of address space beside what is told: threads reserve much that they never use
_FILE = "model.gguf"
_LLAMA3 = {"low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8_192}  # of every Llama 3.1 to 3.3
_FACTORS = "rope_freqs.weight"
_EPSILONS = ("rms_norm_eps", "layer_norm_epsilon")


def main() -> None:
    """Read what the first line asks for."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent too, which ends this process
    request = asked()
    _stay_offline()
    try:
        with contextlib.redirect_stdout(sys.stderr):
            _read([Path(part) for part in request["parts"]], Path(request["work"]), request["limit_bytes"])
        end: dict[str, Any] = {"done": True}
    except SftqaError as error:
        end = {"error": str(error), "kind": type(error).__name__, "number": getattr(error, "errno", None)}
    say(end)


def _read(parts: list[Path], work: Path, limit_bytes: int) -> None:
    name = parts[0].name
    model = gguf_at(parts[0])
    if model is None or model.files != parts:
        raise ModelUnavailable(f"{name} has changed while it was read. Try again.")
    refuse_unreadable(model, name)
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    from sftqa_core.artifacts import storing
    from sftqa_core.models.loading import explained, no_progress_bar

    place = work / ".gguf"
    _limit(limit_bytes + SLACK_BYTES, 5 * model.parameters + model.size_bytes + 200_000_000)
    warnings.simplefilter("ignore")
    with storing(work), explained(name), no_progress_bar():
        place.mkdir()
        if len(parts) == 1:
            link(parts[0].resolve(), place / _FILE)
        else:
            join(model, place / _FILE)
        file: dict[str, Any] = {"gguf_file": _FILE, "local_files_only": True, "trust_remote_code": False}
        config = _mended(AutoConfig.from_pretrained(place, **file), model)
        _say("settings")
        read, report = AutoModelForCausalLM.from_pretrained(place, config=config, dtype=torch.float32, output_loading_info=True, **file)
        _refuse_partly(read, report, model, name)
        _say("weights")
        read.hf_quantizer, read.is_quantized = None, False  # the numbers are plain float32 by now
        read.config.__dict__.pop("quantization_config", None)
        read.save_pretrained(work)
        _say("saved")
        tokenizer = _mended_tokenizer(AutoTokenizer.from_pretrained(place, **file), model)
        tokenizer.save_pretrained(work)
        shutil.rmtree(place)
        _say("tokenizer")


def _say(step: str) -> None:
    with contextlib.redirect_stdout(sys.__stdout__):
        say({"step": step})


def join(model: GgufModel, target: Path) -> None:
    """Write the parts of a split file as one: the first part's settings, every part's tensors, each at a new offset."""
    first, alignment = model.header, int(model.header.settings.get("general.alignment", 32))
    table, offset = bytearray(), 0
    for tensor in model.tensors:
        named = tensor.name.encode()
        sides = struct.pack(f"<{len(tensor.sides)}Q", *tensor.sides)
        table += struct.pack("<Q", len(named)) + named + struct.pack("<I", len(tensor.sides)) + sides
        table += struct.pack("<IQ", tensor.stored, offset)
        offset += -(-tensor.size_bytes // alignment) * alignment
    with target.open("wb") as out, first.path.open("rb") as settings:
        head = settings.read(first.settings_end)  # magic, version, number of tensors, number of settings, settings
        out.write(MAGIC + head[4:8] + struct.pack("<Q", len(model.tensors)) + head[16:] + table)
        for part in model.parts:
            with part.path.open("rb") as source:
                for tensor in part.tensors:
                    out.write(bytes(-out.tell() % alignment))
                    source.seek(part.data_start + tensor.offset)
                    _copy(source, out, tensor.size_bytes)
        out.write(bytes(-out.tell() % alignment))


def _copy(source: Any, out: Any, count: int) -> None:
    while count:
        piece = source.read(min(count, 1 << 24))
        if not piece:
            raise ModelUnavailable("A part became shorter while it was read. Try again.")
        out.write(piece)
        count -= len(piece)


def _mended(config: Any, model: GgufModel) -> Any:
    """The configuration with the settings of the file that transformers passes over."""
    header, kind = model.header, model.header.architecture
    settings = header.settings
    rows = next((tensor.sides[-1] for tensor in model.tensors if tensor.name == "token_embd.weight"), None)
    config.vocab_size = rows or config.vocab_size  # tokens may be fewer: some models pad their embeddings
    for key in ("layer_norm_rms_epsilon", "layer_norm_epsilon"):
        for name in _EPSILONS:
            if hasattr(config, name) and f"{kind}.attention.{key}" in settings:
                setattr(config, name, float(settings[f"{kind}.attention.{key}"]))
    for name, key in (("bos_token_id", "bos_token_id"), ("eos_token_id", "eos_token_id"), ("pad_token_id", "padding_token_id")):
        number = settings.get(f"tokenizer.ggml.{key}")
        setattr(config, name, number if isinstance(number, int) and number < config.vocab_size else None)
    if kind == "gpt2":
        config.n_positions = header.number("context_length") or config.n_positions
    if kind in ("qwen3", "gemma2", "gemma3") and (size := header.number("attention.key_length")):
        config.head_dim = size
    if kind == "gemma2":
        for name in ("attn_logit_softcapping", "final_logit_softcapping"):
            setattr(config, name, settings.get(f"gemma2.{name}", getattr(config, name)))
    if (kind, config.num_hidden_layers) in (("gemma2", 46), ("gemma3", 62)):  # llama.cpp knows the 27B ones by their layers
        config.query_pre_attn_scalar = config.hidden_size // config.num_attention_heads
    _stretch(config, model)
    return config


def _stretch(config: Any, model: GgufModel) -> None:
    """Positions that are stretched: linearly, or by Llama 3's factors, which the file keeps as a tensor."""
    header, kind = model.header, model.header.architecture
    factor = header.settings.get(f"{kind}.rope.scaling.factor")
    if header.text(f"{kind}.rope.scaling.type") == "linear" and isinstance(factor, float | int) and factor != 1:
        # Gemma 3 stretches in its layers of full attention only
        ropes = config.rope_parameters["full_attention"] if kind == "gemma3" else config.rope_parameters
        ropes.update({"rope_type": "linear", "factor": float(factor)})
    factors = _factors(model)
    if not factors:
        return
    most, base = max(factors), float(config.rope_parameters["rope_theta"])
    if most <= 1:
        return
    expected = [_llama3_factor(base ** (-at / len(factors)), most) for at in range(len(factors))]
    if any(abs(a - b) > 1e-3 * b for a, b in zip(factors, expected, strict=True)):
        raise ModelUnavailable(
            f"{model.files[0].name} can't be read: it stretches positions by factors of its own ({_FACTORS}), which transformers does not "
            "read. Choose the unquantised model on the hub, or another one."
        )
    config.rope_parameters = {"rope_theta": base, "rope_type": "llama3", "factor": round(most, 3), **_LLAMA3}


def _factors(model: GgufModel) -> tuple[float, ...]:
    """What each frequency is divided by; empty where the file has no such tensor."""
    for part in model.parts:
        for tensor in part.tensors:
            if tensor.name == _FACTORS:
                if STORED[tensor.stored][0] != "F32" or len(tensor.sides) != 1:
                    raise ModelUnavailable(f"{part.path.name} can't be read: {_FACTORS} is not in float32. Fetch it again.")
                with part.path.open("rb") as file:
                    file.seek(part.data_start + tensor.offset)
                    return struct.unpack(f"<{tensor.numbers}f", file.read(tensor.size_bytes))
    return ()


def _llama3_factor(frequency: float, factor: float) -> float:
    """transformers' `rope_type` "llama3" (modeling_rope_utils.py), as llama.cpp's convert_hf_to_gguf.py writes it into the tensor."""
    low, high, window = (_LLAMA3[name] for name in ("low_freq_factor", "high_freq_factor", "original_max_position_embeddings"))
    wave = 2 * math.pi / frequency
    if wave < window / high:
        return 1.0
    if wave > window / low:
        return factor
    smooth = (window / wave - low) / (high - low)
    return 1 / ((1 - smooth) / factor + smooth)


def _refuse_partly(read: Any, report: Any, model: GgufModel, name: str) -> None:
    """Raise `ModelUnavailable` unless every number of the file went into the model, and every number of the model came from it."""
    import torch

    lacking = sorted(report["missing_keys"])
    numbers = sum(weight.numel() for weight in read.parameters())
    if lacking or numbers != model.parameters:
        said = f"it lacks {lacking[0]}" if lacking else f"the file has {model.parameters:,} numbers, and the model {numbers:,}"
        raise ModelUnavailable(f"{name} can't be read whole: {said}. Fetch it again, or choose another model.")
    if odd := next((key for key, weight in read.named_parameters() if not torch.isfinite(weight.sum())), None):
        raise ModelUnavailable(f"{name} is damaged: {odd} holds values that are no numbers. Fetch it again.")


def _mended_tokenizer(tokenizer: Any, model: GgufModel) -> Any:
    """With llama.cpp's rules for how a text begins and is cut, where transformers has others."""
    from tokenizers import pre_tokenizers

    settings, cut = model.header.settings, model.header.text("tokenizer.ggml.pre")
    if model.header.text("tokenizer.ggml.model") == "gpt2":
        if cut in CUT_WITH_BEGINNING:
            tokenizer.backend_tokenizer.model.ignore_merges = True  # a word that is a token stays one
            if "tokenizer.ggml.add_bos_token" not in settings and tokenizer.bos_token is not None:
                tokenizer.add_bos_token = True
        if cut in CUT_BY_DIGIT:
            plain = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
            digits = pre_tokenizers.Digits(individual_digits=True)
            tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence([digits, plain])
    json.loads(tokenizer.backend_tokenizer.to_str())  # raises here, not at the first use
    return tokenizer


def _stay_offline() -> None:
    def refuse(event: str, _: tuple[Any, ...]) -> None:
        if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto", "subprocess.Popen", "os.system", "os.exec"):
            raise StorageError(f"reading a model must not do {event}")

    sys.addaudithook(refuse)


def _limit(memory_bytes: int, file_bytes: int) -> None:
    """From here on the system refuses more: memory beyond what the process has already, and larger files."""
    with contextlib.suppress(ImportError, ValueError, OSError):  # Windows has none of this
        import resource

        with open("/proc/self/statm", encoding="ascii") as pages:
            taken = int(pages.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (taken + memory_bytes, taken + memory_bytes))
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))


if __name__ == "__main__":
    main()
