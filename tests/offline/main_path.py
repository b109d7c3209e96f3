"""The main path in one process: what is there, probe, train, a study's report, every page. Prints what it saw as JSON."""

import contextlib
import io
import json
from pathlib import Path
from typing import Any

from streamlit.testing.v1 import AppTest

from sftqa_core.cli.main import main as sftqa

ROOT = Path(__file__).parents[2]
QUICK = ("--samples", "1", "--max-new-tokens", "4", "--limit", "3", "--device", "cpu")


def told(*words: str) -> dict[str, Any]:
    """The JSON object a command prints."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        sftqa([*words, "--json"])
    return json.loads(printed.getvalue())


def pages() -> dict[str, list[str]]:
    """Errors that each page shows, by its name."""
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=120).run()
    seen = {"overview": [element.value for element in (*app.exception, *app.error)]}
    for page in sorted((ROOT / "pages").glob("*.py")):
        app.switch_page(f"pages/{page.name}").run()
        seen[page.stem] = [element.value for element in (*app.exception, *app.error)]
    return seen


def main(arguments: list[str]) -> None:
    """With the built-in model and with a hub model that was fetched once, which is named."""
    (hub,) = arguments
    seen = {
        "models": told("models"),
        "facts": told("facts"),
        "probe": told("probe", "--model", "atlas-llama", *QUICK),
        "hub probe": told("probe", "--model", hub, *QUICK),
        "train": told("train", "--model", "atlas-llama", "--source", "atlas", "--n", "10", "--test-limit", "2", "--device", "cpu"),
        "study": told("study", "amount", "--models", "atlas-llama", "--report-only"),
        "pages": pages(),
    }
    print(json.dumps(seen))
