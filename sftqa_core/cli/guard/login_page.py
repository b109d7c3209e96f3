"""What a stranger sees: one form, with nothing fetched from anywhere."""

from __future__ import annotations

from html import escape

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} · SFT-QA Explorer</title><link rel="icon" href="data:,">
<style>
:root {{ color-scheme: light dark; font-family: system-ui, sans-serif; }}
body {{ display: grid; place-items: center; min-height: 90vh; margin: 0 1rem; }}
form {{ display: grid; gap: .8rem; max-width: 22rem; width: 100%; }}
h1 {{ font-size: 1.4rem; margin: 0; }} p {{ margin: 0; }}
input, button {{ font: inherit; padding: .6rem; }}
</style></head>
<body><form method="post" action="{action}"><h1>SFT-QA Explorer</h1><p role="status">{message}</p>{fields}</form></body></html>
"""
_TOKEN = (
    '<label for="token">Token</label>'
    '<input id="token" name="token" type="password" autocomplete="current-password" required autofocus>'
    '<input type="hidden" name="next" value="{onward}"><button>Log in</button>'
)


def login(action: str, onward: str, message: str = "Whoever started this explorer has the token.") -> str:
    """The form that takes the token; `onward` is the path to go to then."""
    return _PAGE.format(title="Log in", action=escape(action), message=escape(message), fields=_TOKEN.format(onward=escape(onward)))


def logout(action: str) -> str:
    """The form that ends a session: a form, because a mere link could be followed for somebody by another page."""
    return _PAGE.format(title="Log out", action=escape(action), message="Jobs go on.", fields="<button>Log out</button>")
