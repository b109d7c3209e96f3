"""How many GPUs train together, or hold a model that is probed: asked only on a machine that has several."""

from __future__ import annotations

from typing import Any

import streamlit as st

from pages._ui import resources
from pages._ui.titles import FIELDS, SHARDINGS
from sftqa_core.records import TrainSettings


def gpu_fields() -> dict[str, Any]:
    """The settings `gpus` and `sharding`; empty on a machine with one GPU or none."""
    there = resources.gpus()
    if there < 2:
        return {}
    first, second, _ = st.columns(3)
    told = "They share each batch, so the batch size must be a multiple. The result is that of one GPU. Not yet tried on real GPUs."
    gpus = int(first.number_input(FIELDS["gpus"], 1, there, 1, key="lab-gpus", help=told, persist_state="session"))
    if gpus == 1:
        return {}
    sharding = second.segmented_control(
        FIELDS["sharding"],
        list(SHARDINGS),
        format_func=SHARDINGS.get,
        default="ddp",
        required=True,
        key="lab-sharding",
        help="A whole model on each is faster; parts (FSDP) are for a model that does not fit one GPU.",
        persist_state="session",
    )
    return {"gpus": gpus, "sharding": sharding}


def probe_gpus() -> int:
    """How many GPUs a probed model is spread over; 1 where there are not several."""
    there = resources.gpus()
    if there < 2:
        return 1
    told = "For a model larger than one GPU: its layers are spread, and the GPUs work one after the other. Not yet tried on real GPUs."
    return int(st.number_input("GPUs the model is spread over", 1, there, 1, key="probe-gpus", help=told))


def filled_in(settings: TrainSettings) -> dict[str, Any]:
    """What a run's settings are in these fields, as far as this machine has so many GPUs."""
    if not 1 < settings.gpus <= resources.gpus():
        return {"lab-gpus": 1} if resources.gpus() > 1 else {}
    return {"lab-gpus": settings.gpus, "lab-sharding": settings.sharding}
