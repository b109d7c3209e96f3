"""`sftqa bench gpu` without an installed package.

    python benchmarks/gpu.py [--stage probe|tune|atlas|all] [--device DEVICE] [--small] [--out FOLDER]

Needs torch, transformers, peft, accelerate and pandas, and neither streamlit nor plotly. $OUT names another folder than gpu-results.
"""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from sftqa_core.cli.main import main

if __name__ == "__main__":
    out = ["--out", os.environ["OUT"]] if "OUT" in os.environ else []
    main(["bench", "gpu", *out, *sys.argv[1:]])
