"""`sftqa app`: Streamlit on the app that came with this package."""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys

from sftqa_core.workspace import app_folder


def open_app(options: argparse.Namespace) -> int:
    """Become the explorer's server; returns only when that is not possible.

    The server takes this process's place, so that whoever ends `sftqa app` ends the server and not only its parent.
    """
    missing = [name for name in ("streamlit", "plotly") if importlib.util.find_spec(name) is None]
    if missing:
        print(f"The explorer needs {' and '.join(missing)}. Install: pip install {' '.join(missing)}", file=sys.stderr)
        return 1
    # Streamlit reads .streamlit/config.toml beside app.py, whatever the current folder is.
    command = [sys.executable, "-m", "streamlit", "run", str(app_folder() / "app.py")]
    command += [f"--server.port={options.port}", f"--server.address={options.host}", f"--server.headless={str(options.no_browser).lower()}"]
    os.execv(sys.executable, command)
