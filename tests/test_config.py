"""The explorer's own Streamlit settings, which hold wherever it is started."""

import tomllib
from pathlib import Path

CONFIG = tomllib.loads((Path(__file__).parents[1] / ".streamlit" / "config.toml").read_text(encoding="utf-8"))


def test_the_explorer_listens_on_loopback_and_asks_for_nothing():
    """Only this machine reaches it, nothing is reported to anyone, and a first start does not wait for an e-mail address."""
    assert CONFIG["server"]["address"] == "127.0.0.1"
    assert CONFIG["server"]["showEmailPrompt"] is False
    assert CONFIG["browser"]["gatherUsageStats"] is False
