"""Journeys through a running explorer: its pages, and links to what they show. The fixtures are in tests/browser/explorers.py."""

from urllib.parse import urlencode

PAGES = {  # address -> heading
    "": "What does fine-tuning do to what a model knows?",
    "learn": "Learn",
    "memory": "Memory",
    "fact": "Fact",
    "lab": "Lab",
    "results": "Results",
    "compare": "Compare",
    "inside": "Inside",
    "own-facts": "Own facts",
    "ask": "Ask",
    "real-models": "Real models",
    "jobs": "Jobs",
    "models": "Models",
    "how-much-data": "How much data?",
    "which-data": "Which data?",
    "which-model": "Which model?",
    "what-moves": "What moves?",
    "what-if": "What if?",
}


def shipped_run() -> str:
    """Id of the run that ships."""
    from sftqa_core.training.runs import list_runs

    return next(run.id for run in list_runs() if run.shipped)


def shipped_cells(*sizes: int) -> list[str]:
    """Cells of the shipped study of amounts: atlas-llama, seed 0."""
    from sftqa_core.workflows import cell_names, studies

    study = next(study for study in studies() if study.settings.kind == "amount")
    cells = cell_names(study.settings, "atlas-llama")
    return [next(name for name, run in cells.items() if (run.n, run.seed) == (n, 0)) for n in sizes]


def shipped_fact(contested: bool = True) -> tuple[str, str]:
    """A test fact of the built-in world: its id and its question."""
    from sftqa_core.knowledge.sources import open_source

    facts = open_source("atlas").facts
    row = facts[(facts["split"] == "test") & (facts["contested"].fillna(False).astype(bool) == contested)].iloc[0]
    return row["fact_id"], row["question"]


def fact_link(**more: str) -> str:
    return "fact?" + urlencode({"model": "atlas-llama", "source": "atlas", "fact": shipped_fact()[0], **more})


def compare_link(*runs: str) -> str:
    return "compare?" + urlencode({"runs": ",".join(runs)})
