"""A few texts completed for a person to read, drawn as a probe draws them."""

from collections import defaultdict
from collections.abc import Sequence

from sftqa_core.engine import capacity, drawing
from sftqa_core.engine.sampling import Prompt, Sampler, make_sampler
from sftqa_core.engine.server_answers import ServerSampler
from sftqa_core.jsonrecord import digest
from sftqa_core.knowledge.matching import CompiledAnswers
from sftqa_core.models.loading import encode_prompts
from sftqa_core.models.serving.served_models import AnyModel, ServedModel
from sftqa_core.progress import Phase
from sftqa_core.records import SamplerSettings

_NO_ANSWERS = CompiledAnswers((), ())  # so that nothing but the model ends a text before the limit


def complete(loaded: AnyModel, texts: Sequence[str], sampling: SamplerSettings, phase: Phase | None = None) -> list[tuple[str, ...]]:
    """`sampling.samples` completions of each text, in the texts' order; the same text has the same completions, whatever stands beside it.

    `phase` counts finished texts and hears of every pass. Raises `SettingsError` for a text that does not fit the context window,
    `OutOfMemory` when a single one has no room, `ModelUnavailable` for logits that are not numbers.
    """
    different = list(dict.fromkeys(texts))
    rows = encode_prompts(loaded, different)
    capacity.require_window(loaded, [len(row) for row in rows], sampling.max_new_tokens, "prompts", different)
    prompts = [Prompt(digest(text), 0, tuple(ids), _NO_ANSWERS, text) for text, ids in zip(different, rows, strict=True)]
    drawn: dict[str, list[str]] = defaultdict(list)
    watch = (lambda now: phase.within(now.prompts)) if phase else None
    sampler: Sampler
    if isinstance(loaded, ServedModel):
        sampler = ServerSampler(loaded)
    else:
        size = capacity.at_once(loaded, max(map(len, rows)), sampling.samples, sampling.max_new_tokens)
        sampler = make_sampler(sampling.sampler, loaded, size, watch)
    with drawing.naming(loaded):
        for batch in sampler.sample(prompts, sampling):
            for row in sorted(batch):
                drawn[row.fact_id] += [row.text] * row.count
            if phase:
                phase.advance(len({row.fact_id for row in batch}))
    return [tuple(drawn[digest(text)]) for text in texts]
