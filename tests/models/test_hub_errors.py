"""What the hub's client raises becomes a sentence for people, in one place."""

import pytest
from huggingface_hub import errors

from sftqa_core.errors import ModelUnavailable
from sftqa_core.models.hub_errors import hub_errors

RAISED = {  # what snapshot_download and model_info raise -> what the person reads
    errors.GatedRepoError: r"is gated: accept its terms.*hf auth login",
    errors.RepositoryNotFoundError: r"has no model 'owner/name', or it is private",
    errors.DisabledRepoError: r"has no model 'owner/name'",
    errors.OfflineModeIsEnabled: r"the hub can't be reached",
    errors.LocalEntryNotFoundError: r"the hub can't be reached",
    errors.IncompleteSnapshotError: r"the hub can't be reached",
    errors.RevisionNotFoundError: r"The hub has no such revision of it as 'owner/name' names",
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
