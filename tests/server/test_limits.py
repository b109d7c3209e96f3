"""The server's settings that ship: protection on, sizes set, nothing sent to anybody."""

import tomllib
from pathlib import Path

CONFIG = tomllib.loads((Path(__file__).parents[2] / ".streamlit" / "config.toml").read_text(encoding="utf-8"))


def test_protection_is_on_and_said_so():
    """XSRF and CORS protection stand in the file, so that a changed default of a later version changes nothing."""
    assert CONFIG["server"]["enableXsrfProtection"] is True
    assert CONFIG["server"]["enableCORS"] is True
    assert CONFIG["server"]["enableStaticServing"] is False


def test_sizes_are_limited_and_said_so():
    """Megabytes of an upload and of a message; what a facts file may have at most fits."""
    assert CONFIG["server"]["maxUploadSize"] == 200
    assert CONFIG["server"]["maxMessageSize"] == 200


def test_the_server_asks_nobody_for_its_outer_address():
    """Streamlit's welcome lines would, on an open address; the guard's own lines take their place. Usage is not reported."""
    assert CONFIG["logger"]["hideWelcomeMessage"] is True
    assert CONFIG["browser"]["gatherUsageStats"] is False
