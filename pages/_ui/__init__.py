"""What the pages share: cached reads, pickers, forms, panels and wording.

Importing this once per process also settles how Streamlit reads the folder pages/. A fresh server that is first opened
at a page's own address, not at the root, takes the folder for a list of independent scripts (its older scheme) and runs
the page without app.py; calling st.navigation ends that, but app.py is what would call it. So the first page to be
imported under the old scheme ends it here and starts over, this time through app.py.
"""

import streamlit as st
from streamlit.runtime.pages_manager import PagesManager

if PagesManager.uses_pages_directory:
    PagesManager.uses_pages_directory = False
    st.rerun()
