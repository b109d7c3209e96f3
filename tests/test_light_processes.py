"""What the browser's side, the worker and a first page may load: never torch, and tables only where they are drawn.

All of it runs in one process, from the lightest to the whole explorer, so that each library is imported once. That process is cut off
(test_offline.py): every page opens with each way out refused, and tries none.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.test_offline import cut_off, hub_home, offline  # noqa: F401 - fixtures

ROOT = Path(__file__).parents[1]
TORCH = "torch transformers peft accelerate"
NAMES = sorted(path.stem for path in (ROOT / "pages").glob("*.py"))
PAGES = f"""
import json
from streamlit.testing.v1 import AppTest
app = AppTest.from_file({str(ROOT / "app.py")!r}, default_timeout=300).run()
found = {{}}
for name in {NAMES}:
    app.switch_page(f"pages/{{name}}.py").run()
    found[name] = [element.value for element in (*app.exception, *app.error)]
print(json.dumps(found))
"""
OVERVIEW = """
from pages._ui import background, panels, resources
from pages._ui.real_models import real_reads
from pages._ui.runs.result_panels import accuracy_charts
from sftqa_core.figures.levels import accuracy_figure
from sftqa_core.records import DomainAccuracy, LevelAccuracy
some = DomainAccuracy((LevelAccuracy("L0", 40, 20, 0.5, 0.4, 0.6),), 0.5, 0.4, 0.6, ("L0",), 0.5, 0.4, 0.6, 40)
real_reads.with_results()
resources.example()
accuracy_figure(some, some, some, some).to_json()
"""
CATALOGUE = """
from sftqa_core.models.catalogue import find_model, list_models, weights_fingerprint
list_models()
assert len(weights_fingerprint(find_model("atlas-llama"))) == 16
"""
STEPS = (  # what, how, and what must not be loaded then
    ("relations", "from sftqa_core.knowledge import relations; relations.builtin_relations()", "pandas numpy"),
    ("sources of facts", "import sftqa_core.knowledge.sources", "pandas pyarrow datasets"),
    ("the worker and what pages know of jobs", "import sftqa_core.jobs.local, sftqa_core.jobs.worker", "pandas"),
    ("the way to the first chart", OVERVIEW, "pandas numpy pyarrow scipy huggingface_hub"),
    ("what a model needs", "from sftqa_core.models import footprint, tokenizer_files", "pandas"),
    ("whether it fits", "from sftqa_core.planning import fit", "pandas"),
    ("the device", "from sftqa_core.models.devices import resolve_device; resolve_device('auto')", "pandas"),
    (
        "examples, runs, accuracy and comparisons",
        "from sftqa_core.evaluation import intervals, predictions; from sftqa_core.records import job\n"
        "from sftqa_core.training import encoding, objectives, optimizers, runs, selection, trying",
        "scipy",
    ),
    (
        "levels",
        "from sftqa_core.memory import probe_stores, prober, profiles, scores, stored_levels",
        "scipy",
    ),
    ("models and their fingerprints", CATALOGUE, "scipy"),
    (
        "a preflight",
        "from sftqa_core import workflows; from sftqa_core.records import TrainSettings; workflows.preflight(TrainSettings('atlas-llama'))",
        "huggingface_hub",
    ),
    (
        "results as tables",
        "from sftqa_core import reading; reading.predictions(reading.runs()['id'][0]); reading.looks(); reading.findings('shift-7b1c7c74')",
        "",
    ),
    (
        "a comparison",
        "from sftqa_core import workflows; workflows.compare([workflows.runs()[0].id, 'amount-9203b502:atlas-llama:n240:s0'])",
        "",
    ),
    ("a report", "from sftqa_core.reports.report_files import page_of; page_of(['shift-7b1c7c74'])", ""),
    ("the table of models", "from sftqa_core import workflows; workflows.offered_models()", ""),
    ("every page", PAGES, ""),
)
SCRIPT = """
import json, sys
for what, how, heavy in json.load(sys.stdin):
    exec(how, {})
    print(json.dumps({what: sorted(set(heavy.split()) & set(sys.modules))}), file=sys.stderr)
"""


def test_nothing_heavy_is_loaded_where_it_is_not_needed(offline):  # noqa: F811
    """Each step in its turn: what it loads of the libraries that it does without is named. No page shows an error."""
    steps = [(what, how, f"{TORCH} {heavy}") for what, how, heavy in STEPS]
    command = [sys.executable, "-c", SCRIPT]
    how = {"capture_output": True, "text": True, "cwd": ROOT, "env": offline.environment, "check": False}
    done = subprocess.run(command, input=json.dumps(steps), **how)
    assert done.returncode == 0, done.stderr[-3000:]
    loaded = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    assert loaded == [{what: []} for what, _, _ in STEPS]
    assert json.loads(done.stdout.splitlines()[-1]) == {page: [] for page in NAMES}
    assert offline.tried == []
