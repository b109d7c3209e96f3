"""The address holds what is picked."""

from types import SimpleNamespace

import pytest
from streamlit.runtime.scriptrunner import StopException

from pages._ui import address
from tests.pages.conftest import words


def test_a_pick_stands_in_the_address_and_a_default_does_not(explorer):
    """Another domain is a parameter; back at the default the parameter goes."""
    app = explorer("memory")
    assert "domain" not in app.query_params
    app.selectbox(key="pick-domain").select("out").run()
    assert app.query_params["domain"] == "out"
    app.selectbox(key="pick-domain").select("all").run()
    assert "domain" not in app.query_params


def test_what_may_be_another_tomorrow_is_named(explorer):
    """The newest run, the first model and the first source are in the address though nobody picked them."""
    app = explorer("results")
    assert app.query_params["run"] == app.selectbox(key="pick-run").value
    app = explorer("memory")
    assert app.query_params["model"] == app.selectbox(key="pick-model").value
    assert app.query_params["source"] == app.selectbox(key="pick-source").value


def test_picks_come_along_to_pages_that_know_them(explorer):
    """The domain picked on Memory is there on coming back by a bare link, and is not on pages without one."""
    app = explorer("memory")
    app.selectbox(key="pick-domain").select("out").run()
    app.query_params.clear()
    app.switch_page("pages/results.py").run()
    assert "domain" not in app.query_params
    app.query_params.clear()
    app.switch_page("pages/memory.py").run()
    assert app.selectbox(key="pick-domain").value == "out"
    assert app.query_params["domain"] == "out"


def test_a_default_holds_on_coming_back_too(explorer):
    """Put back to its default, the domain of before does not return."""
    app = explorer("memory")
    app.selectbox(key="pick-domain").select("out").run()
    app.selectbox(key="pick-domain").select("all").run()
    app.query_params.clear()
    app.switch_page("pages/results.py").run()
    app.query_params.clear()
    app.switch_page("pages/memory.py").run()
    assert app.selectbox(key="pick-domain").value == "all"


def test_a_link_is_taken_whole(explorer):
    """An address with parameters is shown as it is, whatever was picked here before."""
    app = explorer("memory")
    app.selectbox(key="pick-domain").select("out").run()
    app.query_params.clear()
    app.switch_page("pages/results.py").run()
    app.query_params.clear()
    app.query_params["split"] = "dev"
    app.switch_page("pages/memory.py").run()
    assert (app.selectbox(key="pick-split").value, app.selectbox(key="pick-domain").value) == ("dev", "all")


@pytest.mark.parametrize("wrong", ["nowhere", "<img src=x onerror=alert(1)>", "x" * 5000])
def test_a_wrong_value_is_dropped_and_said(explorer, wrong):
    """What is no option is shown as text, cut, and leaves the address."""
    app = explorer("memory", {"domain": wrong})
    assert "domain" not in app.query_params
    assert "There is no domain" in words(app)
    assert app.selectbox(key="pick-domain").value == "all"


def test_what_is_wrong_in_an_address_is_said_in_one_place_above_the_title(explorer):
    """However narrow the column of its picker; without a fault nothing stands there."""
    app = explorer("memory", {"domain": "nowhere", "split": "never"})
    order = [element.type for element in app.main]
    assert order.count("warning") == 2
    assert max(at for at, kind in enumerate(order) if kind == "warning") < order.index("title")
    assert "warning" not in [element.type for element in app.run().main]


def test_what_a_row_opens_is_not_taken_for_the_page_that_it_left(explorer):
    """A fact opened from a run: back at the run by a bare link, nothing of the fact's address has stayed there."""
    app = explorer("results")
    run = app.query_params["run"]
    app.session_state["opened-changes"] = 0
    app.run()
    assert {"fact", "runs"} <= set(app.query_params)
    app.query_params.clear()
    app.switch_page("pages/results.py").run()
    assert app.query_params["run"] == run
    assert "fact" not in app.query_params
    assert "runs" not in app.query_params


def test_a_run_that_was_replaced_writes_nothing(monkeypatch):
    """Streamlit stops a script at its next element only: one that has none left must not write over the parameters of the run after it."""
    written = []

    def stopped():
        raise StopException

    context = SimpleNamespace(yield_check=stopped, is_history_navigation=False, page_script_hash="")
    monkeypatch.setattr(address, "get_script_run_ctx", lambda: context)
    monkeypatch.setattr(address, "_state", lambda: {"page": "results", "pages": {}, "before": None, "at_s": 0.0})
    monkeypatch.setattr(address.st, "query_params", SimpleNamespace(to_dict=dict, from_dict=written.append))
    with pytest.raises(StopException), address._settling({}, False):
        address.settle_on("run", "r")
    assert written == []
