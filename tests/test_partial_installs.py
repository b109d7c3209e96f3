"""What works where a library is not installed: a process in which importing it fails stands in for such a machine.

Probing and training without the browser's libraries and packages for GPUs: test_offline.py.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
BLOCKED = "import sys\nfor name in {names!r}: sys.modules[name] = None\n"


def run_without(names: tuple[str, ...], script: str) -> str:
    """Standard output of a script in a process where these libraries can't be imported."""
    code = BLOCKED.format(names=names) + script
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


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
