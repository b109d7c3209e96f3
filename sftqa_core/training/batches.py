"""Examples of different length as one batch."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from sftqa_core.training.prompts import IGNORED


@dataclass(frozen=True)
class Collator:
    """Pads a batch on the right. Labels are masked by position, never by token id, so pad = eos loses no end token."""

    pad_id: int

    def __call__(self, examples: list[dict[str, list[int]]]) -> dict[str, torch.Tensor]:
        """int64 tensors of shape (batch, longest): input_ids, attention_mask, labels."""
        width = max(len(example["input_ids"]) for example in examples)
        return {
            "input_ids": _padded([example["input_ids"] for example in examples], width, self.pad_id),
            "attention_mask": _padded([[1] * len(example["input_ids"]) for example in examples], width, 0),
            "labels": _padded([example["labels"] for example in examples], width, IGNORED),
        }


def _padded(rows: list[list[int]], width: int, value: int) -> torch.Tensor:
    return torch.tensor([[*row, *[value] * (width - len(row))] for row in rows], dtype=torch.int64)
