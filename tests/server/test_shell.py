"""What is added to the one page that Streamlit serves, and old addresses."""

import pytest
from starlette.responses import HTMLResponse, PlainTextResponse
from starlette.testclient import TestClient

from sftqa_core.records import STUDIES
from sftqa_core.server.moved import Moved, moved
from sftqa_core.server.shell import Headed

PAGE = {"accept": "text/html"}
SHELL = "<html><head><title>Streamlit</title></head><body></head></body></html>"


async def page(scope, receive, send):
    headers = {"etag": '"old"', "last-modified": "then", "x-seen": repr(sorted(name.decode() for name, _ in scope["headers"]))}
    kind = PlainTextResponse if scope["path"] == "/script.js" else HTMLResponse
    status = 404 if scope["path"] == "/missing" else 200
    await kind(SHELL, status, headers=headers)(scope, receive, send)


def test_the_page_has_the_addition_once_and_says_its_own_length():
    """It stands at the end of the head; what named Streamlit's own bytes is gone, so that no browser keeps them for ours."""
    asked = {**PAGE, "if-none-match": '"old"', "accept-encoding": "gzip"}
    answer = TestClient(Headed(page, "<style>p { color: red }</style>")).get("/memory", headers=asked)
    assert answer.text == SHELL.replace("</head>", "<style>p { color: red }</style></head>", 1)
    assert answer.headers["content-length"] == str(len(answer.content))
    assert not {"etag", "last-modified"} & set(answer.headers)
    assert "if-none-match" not in answer.headers["x-seen"]
    assert "accept-encoding" not in answer.headers["x-seen"]


@pytest.mark.parametrize(("path", "headers"), [("/script.js", PAGE), ("/missing", PAGE), ("/memory", {"accept": "*/*"})])
def test_everything_else_passes_as_it_is(path, headers):
    """Files, errors and what no browser asks for as a page keep their bytes and their names."""
    answer = TestClient(Headed(page, "<style>p { color: red }</style>")).get(path, headers=headers)
    assert (answer.text, answer.headers["etag"]) == (SHELL, '"old"')


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("/catalogue?model=gpt2", "models?model=gpt2"),
        ("/amount", "how-much-data"),
        ("/level?study=level-1&model=a%26b", "which-data?study=level-1&model=a%26b"),
        ("/models?study=models-1", "which-model?study=models-1"),
        ("/models?model=a&templates=seen", "which-model?model=a&templates=seen"),
        ("/below/shift", "what-moves"),
    ],
)
def test_a_bookmark_of_an_old_address_leads_to_its_page(asked, told):
    """With its parameters, and relative, so that it holds below whatever path the explorer is served at."""
    answer = TestClient(Moved(page)).get(asked, headers=PAGE, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (302, told)


def test_pages_of_today_are_no_old_addresses():
    """The list of models stands where a study was; the studies are at what they are called."""
    now = [study.address for study in STUDIES.values()]
    assert now == ["how-much-data", "which-data", "which-model", "what-moves", "what-if"]
    assert [moved(name, "model=a") for name in ("models", "memory", "", *now)] == [None] * 8
    assert TestClient(Moved(page)).get("/amount", headers={"accept": "*/*"}).text == SHELL
