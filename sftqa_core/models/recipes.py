"""The tiny models that can be made by name: `sftqa pretrain atlas-llama`."""

from __future__ import annotations

from sftqa_core.records import CorpusSettings, PretrainSettings

RECIPES: dict[str, PretrainSettings] = {
    recipe.name: recipe
    for recipe in (
        # Ships with the program. Chosen by level shares and by accuracy on dev facts only.
        PretrainSettings(
            name="atlas-llama",
            source="atlas",
            learning_rate=8e-3,
            corpus=CorpusSettings(qa_documents=20_000, qa_answered_share=0.36),
        ),
    )
}
