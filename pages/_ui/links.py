"""Ways from page to page whose address always says what is shown, also where one leads to the page that it stands on."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NoReturn

import streamlit as st

from pages._ui import address


def page_link(
    script: str,
    label: str,
    key: str,
    *,
    icon: str | None = None,
    to: Mapping[str, str] | None = None,
    off: bool = False,
    then: Callable[[], None] | None = None,
) -> None:
    """A link to a page with these parameters. `key` tells it apart on its page; `off`: there is nothing to go to; `then`: called as well
    where the page is the open one, to close the dialog that the link stands in.

    Streamlit's own link to the page that is open shows what it names, and leaves the address as it was: a copied link, a reload and
    the way back would be wrong. There a button that looks like a link writes the address.
    """
    if Path(script).stem.replace("_", "-") != address.page():
        st.page_link(script, label=label, icon=icon, query_params=dict(to or {}), disabled=off)
        return

    def go() -> None:
        address.go(**(to or {}))
        if then is not None:
            then()

    pressed = st.button(label, key=f"link-{key}", icon=icon, type="tertiary", disabled=off, on_click=go)
    if pressed and address.alone():  # in a running job's panel, say: what the link shows stands outside
        st.rerun()


def open_page(script: str, to: Mapping[str, str] | None = None) -> NoReturn:
    """Ends this page's script and opens a page with these parameters; a click on a row does so. (One entry of the browser's history by
    a script in look.py.)
    """
    address.keep_and_leave()
    st.switch_page(script, query_params=dict(to or {}))
