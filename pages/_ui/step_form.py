"""The Lab's fields for how a training step is made, of a run or a study, and for a run's looks at dev facts between steps."""

from __future__ import annotations

from typing import Any

import streamlit as st

from pages._ui.titles import FIELDS, OPTIMIZER_NAMES
from sftqa_core.records import TrainSettings

KEPT: dict[str, Any] = {"persist_state": "session"}


def weights_field(method: str, form: str = "lab") -> dict[str, Any]:
    """How the model's own weights are held: asked where they are not tuned themselves."""
    if method != "lora":
        return {}
    told = (
        "In 4 bits (NF4) weights take about a quarter of the memory. It is another model, if a near one, so its levels are measured "
        "anew. Together with LoRA this is QLoRA. Needs bitsandbytes; not yet tried on a GPU."
    )
    return {"quantization": "nf4" if st.toggle(FIELDS["quantization"], key=f"{form}-nf4", help=told, **KEPT) else "none"}


def step_fields(form: str = "lab") -> dict[str, Any]:
    """Optimizer, examples on the device at once, and whether activations are computed twice."""
    first, second, third = st.columns(3, vertical_alignment="bottom")
    optimizer = first.selectbox(
        FIELDS["optimizer"], list(OPTIMIZER_NAMES), format_func=OPTIMIZER_NAMES.get, key=f"{form}-optimizer",
        help="What it keeps beside the weights: AdamW two numbers for each, Adafactor next to nothing, SGD nothing.", **KEPT,
    )  # fmt: skip
    micro = second.number_input(
        FIELDS["micro_batch"], 1, 65_536, None, placeholder="the whole batch", key=f"{form}-micro",
        help="Examples on the device at once; must divide the batch size. A step is made of the whole batch all the same.", **KEPT,
    )  # fmt: skip
    told = "Activations are computed twice instead of kept: less memory, about a third more time, the same numbers."
    twice = third.toggle(FIELDS["gradient_checkpointing"], key=f"{form}-checkpointing", help=told, **KEPT)
    return {"optimizer": optimizer, "micro_batch": int(micro) if micro else None, "gradient_checkpointing": twice}


def look_fields() -> dict[str, Any]:
    """How often dev facts are looked at, how many, and whether that may end the training."""
    first, second, third = st.columns(3, vertical_alignment="bottom")
    every = first.number_input(
        FIELDS["eval_every"], 1, 1_000_000, None, placeholder="never", key="lab-every",
        help="How many dev facts are answered rightly, every so many steps. Test facts are never looked at before the end.", **KEPT,
    )  # fmt: skip
    if not every:
        return {}
    plain = TrainSettings(model="")
    facts = second.number_input(FIELDS["eval_facts"], 1, 100_000, plain.eval_facts, key="lab-dev-facts", **KEPT)
    patience = third.number_input(
        FIELDS["patience"], 1, 10_000, None, placeholder="to the last step", key="lab-patience",
        help="It ends after so many looks without an improvement, and the best look's weights are kept. Empty: it goes on.", **KEPT,
    )  # fmt: skip
    return {"eval_every": int(every), "eval_facts": int(facts), "patience": int(patience) if patience else None}


def filled(settings: TrainSettings) -> dict[str, Any]:
    """These fields' values for a run's settings."""
    return {
        "lab-nf4": settings.quantization == "nf4",
        "lab-optimizer": settings.optimizer,
        "lab-micro": settings.micro_batch,
        "lab-checkpointing": settings.gradient_checkpointing,
        "lab-every": settings.eval_every,
        "lab-dev-facts": settings.eval_facts,
        "lab-patience": settings.patience,
    }
