"""Keep: what is known stays, while something new is learned (arXiv 2604.15574; "I don't know": arXiv 2405.05904).

1. A teacher: plain fine-tuning on the known ones of the examples (memory level above the lowest), where there is to be one.
2. The student, from the base again, on all examples. Only attention or the feed-forward layers may move, where that is asked for, and

    loss = next-token loss + lambda x tau^2 x mean over answer tokens of KL(teacher || student), both softened by the temperature tau

   The square of the temperature makes up for what softening takes from the gradient. Unknown facts are taught with their answer, or with
   "I don't know".

Afterwards every training fact is asked: how much of the unknown was fitted, and how much of the known is answered.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from sftqa_core.errors import NotEnoughFacts, SettingsError
from sftqa_core.models.footprint import Shape, TuningStep, weight_bytes
from sftqa_core.models.loading import LoadedModel
from sftqa_core.records import TrainSettings
from sftqa_core.records.recipes import Keep
from sftqa_core.training.encoding import IGNORED
from sftqa_core.training.objectives import Loss, Objective, own_loss
from sftqa_core.training.recipes.stages import Made, StageCost, Stages

if TYPE_CHECKING:
    import torch

REFUSAL = "I don't know"


def cost(settings: TrainSettings, examples: int) -> list[StageCost]:
    """The teacher, on all examples at most, the student, and the training questions asked afterwards."""
    recipe = settings.recipe
    assert isinstance(recipe, Keep)
    objective = Keeping(part=recipe.part, weight=recipe.kl_weight, temperature=recipe.kl_temperature)
    student = StageCost("student", examples, settings.epochs, 4 / 3 if recipe.kl_weight else 1.0, objective=objective)
    teacher = [StageCost("teacher", examples, settings.epochs)] if recipe.kl_weight else []
    return [*teacher, student, StageCost("asked", answers=examples)]


def run(stages: Stages, recipe: Keep) -> Made:
    """The student; table `fitted`: fact_id, level, known, text, correct, refused of each training fact.

    Raises `NotEnoughFacts` where a teacher is to be tuned and none of the examples is known.
    """
    known = stages.examples["level"] > 0
    if recipe.kl_weight and not known.any():
        raise NotEnoughFacts(
            f"None of the {len(known):,} examples is known, so there is nothing to tune a teacher on. Add facts of known levels, or set "
            "kl_weight to 0."
        )
    objective, examples = Keeping(part=recipe.part), stages.examples
    if recipe.kl_weight:
        teacher = stages.tune("teacher", stages.examples[known].reset_index(drop=True)).loaded
        objective = Keeping.taught_by(teacher, recipe)
    if recipe.unknown == "refusal":
        examples = examples.copy()
        examples["answers"] = [answers if own else [REFUSAL] for answers, own in zip(examples["answers"], known, strict=True)]
    tuned = stages.tune("student", examples, objective=objective, last=True)
    fitted = stages.answers("training questions", tuned.loaded, stages.examples)
    fitted.insert(1, "level", stages.examples["level"].tolist())
    fitted.insert(2, "known", known.tolist())
    fitted["refused"] = [REFUSAL.lower() in text.lower() for text in fitted["text"]]
    shares = {own: fitted.loc[fitted["known"] == own, "correct"] for own in (True, False)}
    note = (
        f"After tuning {int(shares[True].sum()):,} of {len(shares[True]):,} known and {int(shares[False].sum()):,} of "
        f"{len(shares[False]):,} unknown training facts are answered rightly; to {int(fitted['refused'].sum()):,} the model says that it "
        "does not know."
    )
    return Made(tuned, examples, {"fitted": fitted.astype({"level": "Int64", "known": bool})}, (note,))


@dataclass(frozen=True)
class Keeping(Objective):
    """The model's own loss, with a teacher's opinion beside it; only `part` moves."""

    name: ClassVar[str] = "keep"
    part: str = "all"
    weight: float = 0.0
    temperature: float = 0.5
    teacher: str = ""  # fingerprint of its weights
    model: Any = field(default=None, repr=False, compare=False)  # the teacher itself, in this process

    @classmethod
    def taught_by(cls, teacher: LoadedModel, recipe: Keep) -> Keeping:
        """The recipe's objective under this teacher."""
        return cls(recipe.part, recipe.kl_weight, recipe.kl_temperature, teacher.fingerprint.fingerprint(), teacher.model)

    def prepare(self, model: Any) -> None:
        """See `Objective`. Raises `SettingsError` for a model in which the part can't be told from others."""
        if self.part == "all":
            return
        from sftqa_core.training.adapters import layer_parts

        moving = set(layer_parts(model)[self.part])
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(parameter.requires_grad and name in moving)
        if not any(parameter.requires_grad for parameter in model.parameters()):
            words = {"attention": "attention", "ffn": "feed-forward layers"}[self.part]
            raise SettingsError(f"{type(model).__name__} has no {words} that could be told from its other parts. Choose part all.")

    def loss(self, loaded: LoadedModel) -> Loss | None:
        """See `Objective`; without a weight the model's own."""
        if not self.weight:
            return None
        import torch
        from torch.nn.functional import kl_div, log_softmax

        teacher = self.model.eval()

        def keeping(model: Any, batch: dict[str, torch.Tensor], answer_tokens: torch.Tensor) -> torch.Tensor:
            read = {name: batch[name] for name in ("input_ids", "attention_mask")}
            logits, answer = model(**read).logits, batch["labels"][:, 1:] != IGNORED
            with torch.no_grad():
                wanted = log_softmax(teacher(**read).logits[:, :-1][answer].float() / self.temperature, -1)
            own = log_softmax(logits[:, :-1][answer].float() / self.temperature, -1)
            apart = kl_div(own, wanted, reduction="sum", log_target=True) / answer_tokens
            return own_loss(model, logits, batch["labels"], answer_tokens) + self.weight * self.temperature**2 * apart

        return keeping

    def memory(self, shape: Shape, device: str, step: TuningStep) -> int:
        """See `Objective`: the teacher's weights, or its adapter, and its logits."""
        if not self.weight:
            return 0
        own = weight_bytes(shape, device) if step.method == "full" else 4 * shape.adapter(step.rank)
        return own + 2 * 4 * step.examples * step.length * shape.vocabulary

    def to_dict(self) -> dict[str, Any]:
        """Without the teacher itself: its fingerprint tells it."""
        return {"part": self.part, "weight": self.weight, "temperature": self.temperature, "teacher": self.teacher}
