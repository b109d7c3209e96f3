"""The explorer in a browser: page settings and the one table of pages. `sftqa app` starts it (or: streamlit run app.py)."""

import gc
import sys

import streamlit as st
from starlette.middleware import Middleware

from pages._ui import address, entrance, tools
from pages._ui.look import HEAD, ICON
from sftqa_core.records import STUDIES
from sftqa_core.server.middleware import Guard
from sftqa_core.server.moved import Moved
from sftqa_core.server.shell import Headed

# One visitor's long count must not make the others wait 5 ms for every piece of their pages.
sys.setswitchinterval(0.0005)
# A full collection stops everybody for a tenth of a second where 100,000 facts are held, and the usual bounds ask for several a page.
gc.set_threshold(50_000)

if __name__ != "__main__":  # imported by the server that `streamlit run` starts: however it is started, the guard is in front
    first = [Middleware(Guard, entrance=entrance.opened()), Middleware(Moved), Middleware(Headed, head=HEAD)]
    app = st.App(__file__, middleware=first, lifespan=entrance.announced)
else:  # one run for one person's session
    st.set_page_config(page_icon=ICON, layout="wide")
    page = st.navigation(
        [  # one list: of pages in groups at the top none is marked as the one that is open
            st.Page("pages/overview.py", title="Overview", default=True),
            st.Page("pages/learn.py", title="Learn"),
            st.Page("pages/memory.py", title="Memory"),
            st.Page("pages/fact.py", title="Fact", visibility="hidden"),
            st.Page("pages/lab.py", title="Lab"),
            st.Page("pages/results.py", title="Results"),
            st.Page("pages/compare.py", title="Compare"),
            st.Page("pages/inside.py", title="Inside"),
            st.Page("pages/own_facts.py", title="Own facts", url_path="own-facts"),
            st.Page("pages/ask.py", title="Ask"),
            st.Page("pages/jobs.py", title="Jobs"),
            st.Page("pages/available_models.py", title="Models", url_path="models"),
            *(st.Page(study.page, title=study.title, url_path=study.address) for study in STUDIES.values()),
            st.Page("pages/real_models.py", title="Real models", url_path="real-models"),
            *entrance.let_in(),
        ],
        position="top",
    )
    st.set_page_config(page_title=f"{page.title} · SFT-QA Explorer")
    with address.of_page(page.url_path):
        tools.tools(page.url_path)
        page.run()
