"""`sftqa app`: Streamlit on the app that came with this package."""

import argparse
import importlib.util
import os
import sys

from sftqa_core.errors import SettingsError
from sftqa_core.server.access import LOGIN_VARIABLE, Access, check_token, checked
from sftqa_core.workspace import app_folder


def open_app(options: argparse.Namespace) -> int:
    """Become the explorer's server; returns only when that is not possible.

    The server takes this process's place, so that whoever ends `sftqa app` ends the server and not only its parent. It
    reads the token from the environment itself: what stands in a command, everyone on the machine can read.
    """
    missing = [name for name in ("streamlit", "plotly") if importlib.util.find_spec(name) is None]
    if missing:
        print(f"The explorer needs {' and '.join(missing)}. Install: pip install {' '.join(missing)}", file=sys.stderr)
        return 1
    try:
        access = wanted_access(options)
        if access.login == "token":
            check_token(os.environ, sys.stdout)
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    # Streamlit reads .streamlit/config.toml beside serve.py, whatever the current folder is.
    command = [sys.executable, "-m", "streamlit", "run", str(app_folder() / "app.py")]
    command += [f"--server.port={options.port}", f"--server.address={access.host}", f"--server.headless={str(options.no_browser).lower()}"]
    os.execve(sys.executable, command, {**os.environ, LOGIN_VARIABLE: access.login})


def wanted_access(options: argparse.Namespace) -> Access:
    """What the options ask for. Raises `SettingsError` when it is not safe, or when they contradict one another."""
    access = Access(options.host, options.login or ("token" if options.share else "none"))
    if options.share and access.local:
        raise SettingsError("--share lets other machines in, and --host is still this machine alone. Add the address: --host 0.0.0.0")
    if not options.share and not access.local:
        checked(Access(options.host), options.port)  # never without the flag, whatever else was asked for
    return checked(access, options.port)
