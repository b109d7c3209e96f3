"""What the hub's client raises becomes a sentence for people, in one place."""

from types import SimpleNamespace

import pytest
from huggingface_hub import errors

from sftqa_core.errors import ModelUnavailable
from sftqa_core.models.hub.hub_cache import busy, hub_errors, wait_s

RAISED = {  # what snapshot_download and model_info raise -> what the person reads
    errors.GatedRepoError: r"is gated: accept its terms.*hf auth login",
    errors.RepositoryNotFoundError: r"has no model 'owner/name', or it is private",
    errors.DisabledRepoError: r"has no model 'owner/name'",
    errors.OfflineModeIsEnabled: r"the hub can't be reached",
    errors.LocalEntryNotFoundError: r"the hub can't be reached",
    errors.IncompleteSnapshotError: r"the hub can't be reached",
    errors.RevisionNotFoundError: r"The hub has no revision 'owner/name'",
    errors.RemoteEntryNotFoundError: r"has the form owner/name",
    errors.HFValidationError: r"has the form owner/name",
    errors.HfHubHTTPError: r"Fetching owner/name failed: no luck",
    errors.CorruptedCacheException: r"Fetching owner/name failed: no luck",
    ConnectionError: r"Fetching owner/name failed: no luck",
    TimeoutError: r"Fetching owner/name failed: no luck",
    PermissionError: r"Fetching owner/name failed: no luck",
}


def _error(kind: type[Exception]) -> Exception:
    made = kind.__new__(kind, "no luck")  # their own constructors want a whole HTTP response
    made.args = ("no luck",)
    return made


@pytest.mark.parametrize("kind", RAISED, ids=lambda kind: kind.__name__)
def test_each_error_of_the_hub_is_explained(kind: type[Exception]):
    """No error of the client reaches a person as it is."""
    with pytest.raises(ModelUnavailable, match=RAISED[kind]), hub_errors("owner/name"):
        raise _error(kind)


def test_errors_of_the_http_library_are_explained():
    """A broken connection inside the HTTP library counts as one, whatever that library is called."""
    broken = type("ReadError", (Exception,), {"__module__": "httpx"})
    with pytest.raises(ModelUnavailable, match="Fetching owner/name failed: cut off"), hub_errors("owner/name"):
        raise broken("cut off")


def test_own_mistakes_are_not_hidden():
    """A programming error stays what it is."""
    with pytest.raises(ZeroDivisionError), hub_errors("owner/name"):
        raise ZeroDivisionError


@pytest.mark.parametrize(
    ("status", "headers", "seconds"),
    [
        (429, {"Retry-After": "120"}, 120),
        (503, {"Retry-After": " 7 "}, 7),
        (429, {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0),
        (429, {"ratelimit": '"api";r=0;t=55', "Retry-After": "9"}, 55),
        (429, {"ratelimit": '"api";r=3;t=55', "Retry-After": "9"}, 9),
        (429, {"Retry-After": "soon"}, None),
        (429, {"Retry-After": "-3"}, None),
        (429, {"Retry-After": "9" * 5_000}, None),
        (429, {}, None),
        (500, {"Retry-After": "5"}, None),
    ],
)
def test_a_hub_says_how_long_to_wait(status: int, headers: dict[str, str], seconds: int | None):
    """In seconds, as a date, or in its own header; what is none of these says nothing."""
    assert wait_s(SimpleNamespace(status_code=status, headers=headers)) == seconds


def test_patience_is_asked_for_in_words():
    """A login helps against the first, and not against the second."""
    assert busy("The hub", 429, 1_200) == (
        "The hub is rate limited (429): try again in 1,200 s, or log in with `hf auth login`, which raises the limit."
    )
    assert busy("The hub", 503, None) == "The hub is busy (503): try again in some minutes."
