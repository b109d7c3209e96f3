"""The main path in one process: what is there, probe, train with all weights and with LoRA, a study's report. Prints it as JSON.

Importing libraries of the browser and packages that only work on GPUs fails here, as it does where they are not installed.
"""

import contextlib
import io
import json
import sys
from typing import Any

OF_THE_BROWSER = ("streamlit", "plotly", "datasets")
ONLY_ON_GPUS = ("bitsandbytes", "triton", "flash_attn", "xformers", "cupy", "pynvml", "nvidia", "apex", "deepspeed")
QUICK = ("--samples", "1", "--max-new-tokens", "4", "--limit", "3", "--device", "cpu")
TRAIN = ("train", "--model", "atlas-llama", "--source", "atlas", "--device", "cpu", "--no-save-model")


def told(*words: str) -> dict[str, Any]:
    """The JSON object a command prints."""
    from sftqa_core.cli.main import main as sftqa

    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        sftqa([*words, "--json"])
    return json.loads(printed.getvalue())


def main(arguments: list[str]) -> None:
    """With the built-in model and with a hub model that was fetched once, which is named."""
    (hub,) = arguments
    sys.modules.update(dict.fromkeys((*OF_THE_BROWSER, *ONLY_ON_GPUS)))
    seen = {
        "models": told("models"),
        "facts": told("facts"),
        "probe": told("probe", "--model", "atlas-llama", *QUICK),
        "hub probe": told("probe", "--model", hub, *QUICK),
        "full": told(*TRAIN, "--n", "10", "--test-limit", "2"),
        "lora": told(*TRAIN, "--n", "4", "--test-limit", "1", "--shots", "1", "--method", "lora"),
        "study": told("study", "amount", "--models", "atlas-llama", "--report-only"),
    }
    print(json.dumps(seen))


if __name__ == "__main__":
    main(sys.argv[1:])
