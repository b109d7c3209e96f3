"""What works where a library is not installed: a process in which importing it fails stands in for such a machine."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
OF_THE_BROWSER = ("streamlit", "plotly", "datasets")
ONLY_ON_GPUS = ("bitsandbytes", "triton", "flash_attn", "xformers", "cupy", "pynvml", "nvidia", "apex", "deepspeed")
BLOCKED = "import sys\nfor name in {names!r}: sys.modules[name] = None\n"


def run_without(names: tuple[str, ...], script: str) -> str:
    """Standard output of a script in a process where these libraries can't be imported."""
    code = BLOCKED.format(names=names) + script
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_probing_and_training_need_neither_browser_libraries_nor_packages_for_gpus():
    """Where each such import fails, facts are probed, and runs are trained, with full fine-tuning and with LoRA, and evaluated."""
    script = """
import json
from sftqa_core import workflows
from sftqa_core.records import LevelScheme, ProbeSettings, SamplerSettings, TrainSettings
few = LevelScheme(sampling=SamplerSettings(samples=1, max_new_tokens=4))
probed = workflows.probe(ProbeSettings("atlas-llama", limit=3, scheme=few, device="cpu"))
runs = [
    workflows.train(TrainSettings("atlas-llama", n=4, method=method, test_limit=1, scheme=few, shots=1, save_model=False, device="cpu"))
    for method in ("full", "lora")
]
print(json.dumps([probed.facts, probed.facts_per_s > 0, *([run.n, run.after["in"].natural_n] for run in runs)]))
"""
    printed = run_without((*OF_THE_BROWSER, *ONLY_ON_GPUS), script)
    assert json.loads(printed.splitlines()[-1]) == [3, True, [4, 10], [4, 10]]


def test_the_explorer_shows_shipped_results_without_torch():
    """Without torch every page opens with its shipped content, and the Lab says what to install."""
    script = f"""
from pathlib import Path
from streamlit.testing.v1 import AppTest
app = AppTest.from_file({str(ROOT / "app.py")!r}, default_timeout=60).run()
for name in ("overview", "memory", "lab", "results", "jobs"):
    app.switch_page(f"pages/{{name}}.py").run()
    assert not app.exception and not app.error, (name, app.exception, app.error)
    print(name, len(app.get("plotly_chart")), "|".join(w.value for w in app.warning), "|".join(" ".join(c.value.split()) for c in app.code))
"""
    pages = {line.split()[0]: line for line in run_without(("torch", "transformers", "peft"), script).splitlines() if line.strip()}
    assert int(pages["overview"].split()[1]) >= 1
    assert int(pages["memory"].split()[1]) >= 2
    assert int(pages["results"].split()[1]) >= 2
    assert "PyTorch, which is not installed" in pages["lab"]
    assert "pip install torch" in pages["lab"]


def test_commands_say_what_to_install():
    """Without torch, probing facts that are not known ends with one JSON error that names the command."""
    script = """
import sys
from sftqa_core.cli.main import main
try:
    main(["probe", "--model", "atlas-llama", "--limit", "3", "--samples", "2", "--json"])
except SystemExit as ended:
    print(ended.code)
"""
    said, status = run_without(("torch", "transformers", "peft"), script).splitlines()[-2:]
    assert status == "1"
    assert "pip install torch" in json.loads(said)["error"]
