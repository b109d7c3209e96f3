"""One other engine for real.py, in that engine's own environment: it imports nothing of ours.

    ENV/bin/python benchmarks/real_peers.py vllm|openvino FOLDER float32|bfloat16 PROMPTS.json

PROMPTS.json is {"facts": n, "prompts": [texts], "new_tokens", "samples", "temperature", "ends": [token ids], "parameters"}, written by
real_worker.py. Loads the model, says so, and then works through all prompts for each line of its input.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

MARK = "RESULT "
_CACHE_GB = 4  # for keys and values, as much as is usual for so many sequences
_SEQUENCES = 256  # in progress together


def vllm(folder: str, name: str, asked: dict[str, Any]) -> Callable[[], tuple[int, int]]:
    """vLLM on the processor, prefix caching on."""
    os.environ.update(
        VLLM_CPU_KVCACHE_SPACE=str(_CACHE_GB), VLLM_NO_USAGE_STATS="1", HF_HUB_OFFLINE="1", VLLM_ENABLE_V1_MULTIPROCESSING="0"
    )
    from vllm import LLM, SamplingParams

    model = LLM(model=folder, dtype=name, max_model_len=256, enable_prefix_caching=True, max_num_seqs=_SEQUENCES)
    how = SamplingParams(
        n=asked["samples"], temperature=asked["temperature"], top_p=1.0, top_k=-1, max_tokens=asked["new_tokens"], seed=0
    )  # the model's own end tokens stop a text

    def work() -> tuple[int, int]:
        outputs = model.generate(asked["prompts"], how, use_tqdm=False)
        return sum(len(o.prompt_token_ids) for o in outputs), sum(len(c.token_ids) for o in outputs for c in o.outputs)

    return work


def openvino(folder: str, name: str, asked: dict[str, Any]) -> Callable[[], tuple[int, int]]:
    """OpenVINO GenAI, prefix caching on; keys in the format of the products."""
    import openvino_genai as genai

    plan = genai.SchedulerConfig()
    plan.enable_prefix_caching, plan.cache_size = True, _CACHE_GB
    plan.max_num_seqs, plan.max_num_batched_tokens = _SEQUENCES, 2 * _SEQUENCES
    short = {"float32": "f32", "bfloat16": "bf16"}[name]
    properties = {"INFERENCE_PRECISION_HINT": short, "KV_CACHE_PRECISION": short, "INFERENCE_NUM_THREADS": len(os.sched_getaffinity(0))}
    model = genai.ContinuousBatchingPipeline(folder, plan, "CPU", properties)
    how = genai.GenerationConfig()
    how.do_sample, how.temperature, how.top_p, how.top_k = True, asked["temperature"], 1.0, 0
    how.max_new_tokens, how.num_return_sequences = asked["new_tokens"], asked["samples"]
    how.repetition_penalty, how.apply_chat_template, how.rng_seed = 1.0, False, 0
    how.eos_token_id, how.stop_token_ids = asked["ends"][0], set(asked["ends"])
    tokenizer = model.get_tokenizer()
    read = sum(tokenizer.encode(prompt).input_ids.data.size for prompt in asked["prompts"])

    def work() -> tuple[int, int]:
        results = model.generate(asked["prompts"], [how] * len(asked["prompts"]))
        texts = [text for result in results for text in result.m_generation_ids]
        return read, sum(tokenizer.encode(text, add_special_tokens=False).input_ids.data.size if text else 0 for text in texts)

    return work


def main() -> None:
    """Load, and work as often as is asked."""
    engine, folder, name, prompts = sys.argv[1:]
    with open(prompts, encoding="utf-8") as file:
        asked = json.load(file)
    work = {"vllm": vllm, "openvino": openvino}[engine](folder, name, asked)
    print(MARK + "{}", flush=True)
    for _ in sys.stdin:
        began = time.perf_counter()
        read, drawn = work()
        result = {
            "facts": asked["facts"],
            "seconds": time.perf_counter() - began,
            "tokens": drawn,
            "flops": 2 * asked["parameters"] * (read + drawn),
            "matrix_rate": 0,  # its own products are not ours to time
            "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        }
        print(MARK + json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
