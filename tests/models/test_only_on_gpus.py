"""Packages that only make sense with a GPU are never needed without one."""

from __future__ import annotations

import os
import subprocess
import sys

ONLY_ON_GPUS = ("bitsandbytes", "triton", "flash_attn", "xformers", "cupy", "pynvml", "nvidia", "apex", "deepspeed")
WORK = """
import sys
sys.modules.update(dict.fromkeys(%r))  # importing one of them fails now
from sftqa_core import workflows
from sftqa_core.records import ProbeSettings, SamplerSettings, LevelScheme, TrainSettings
scheme = LevelScheme(sampling=SamplerSettings(samples=1, max_new_tokens=3))
common = {"model": "atlas-llama", "source": "atlas", "device": "cpu", "scheme": scheme}
print(workflows.probe(ProbeSettings(limit=3, **common)).facts)
for method in ("full", "lora"):
    print(workflows.train(TrainSettings(n=4, method=method, test_limit=1, shots=0, **common)).n)
"""


def test_probing_and_training_on_the_processor_import_nothing_that_needs_a_gpu(workspace):
    """Probe, full fine-tuning and LoRA run in a process where every such import fails."""
    done = subprocess.run(
        [sys.executable, "-c", WORK % (ONLY_ON_GPUS,)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.stdout.split() == ["3", "4", "4"], done.stderr[-2000:]
