"""Memory on one of several GPUs that share a model or its training (footprint.py says it for one GPU).

- A model whose layers are spread (spreading.py): weights, keys and values are divided; what one layer has in hand and the logits
  are not, since the GPUs work one after the other.
- DDP: every GPU holds the whole model and all that one GPU alone would, for its part of the batch, and its gradients once more
  in the buckets in which they are added up.
- FSDP: weights, gradients and moments are divided, and the base model is not kept beside the one that is trained. Activations are
  those of its part of the batch.
"""

from __future__ import annotations

from dataclasses import replace

from sftqa_core.models.footprint import Footprint, Shape, TuningStep, tuning


def spread_over(found: Footprint, gpus: int) -> Footprint:
    """Probing or answering with the layers on so many GPUs."""
    weights, kept = found.weights // gpus, found.keys_values // gpus
    saved = found.weights - weights + found.keys_values - kept
    return replace(found, weights=weights, keys_values=kept, total=found.total - saved)


def tuning_together(shape: Shape, device: str, step: TuningStep, gpus: int, sharding: str) -> Footprint:
    """Fine-tuning on so many GPUs, "ddp" or "fsdp", which share the step's examples."""
    alone = tuning(shape, device, replace(step, examples=-(-step.examples // gpus)))
    if gpus == 1:
        return alone
    if sharding == "ddp":
        return replace(alone, gradients=2 * alone.gradients, total=alone.total + alone.gradients)
    trained = alone.gradients // 4
    weights = (4 * trained if step.method == "full" else alone.weights) // gpus
    gradients, optimizer, moments = alone.gradients // gpus, alone.optimizer // gpus, round(step.state_bytes * trained) // gpus
    # the peak is where a backward pass begins, or where the optimizer steps (footprint.py)
    peak = max(moments + alone.activations + alone.logits, optimizer + gradients)
    return replace(alone, weights=weights, gradients=gradients, optimizer=optimizer, total=weights + peak)
