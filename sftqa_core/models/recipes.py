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
        # The same on real facts: 3,000 of EntityQuestions, half of them test facts, all 24 relations.
        PretrainSettings(
            name="entities-llama",
            source="entity-questions",
            limit=3_000,
            max_exposures=100,
            vocabulary=4_000,
            learning_rate=8e-3,
            corpus=CorpusSettings(qa_documents=6_000, qa_answered_share=0.3, filler_documents=1_000),
        ),
    )
}
