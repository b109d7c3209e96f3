"""What the hub's client raises becomes a sentence for people, in one place."""

from pathlib import Path

import pytest
from huggingface_hub import constants, errors

from sftqa_core.errors import ModelUnavailable
from sftqa_core.models import download
from sftqa_core.models.download import hub_errors

RAISED = {  # what snapshot_download and model_info raise -> what the person reads
    errors.GatedRepoError: r"is gated: accept its terms.*hf auth login",
    errors.RepositoryNotFoundError: r"has no model 'owner/name', or it is private",
    errors.DisabledRepoError: r"has no model 'owner/name'",
    errors.OfflineModeIsEnabled: r"the hub can't be reached",
    errors.LocalEntryNotFoundError: r"the hub can't be reached",
    errors.IncompleteSnapshotError: r"the hub can't be reached",
    errors.RevisionNotFoundError: r"has the form owner/name",
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


def test_repository_without_safetensors_is_refused_before_its_weights_are_fetched(monkeypatch: pytest.MonkeyPatch):
    """Only pickled weights on the hub: nothing is downloaded. Weights in a sub-folder are another format's."""

    class Api:
        def model_info(self, name: str, timeout: int) -> object:
            entries = [type("E", (), {"rfilename": file})() for file in ("config.json", "pytorch_model.bin", "onnx/x.safetensors")]
            return type("Info", (), {"siblings": entries})()

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.HfApi", Api)
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_, **__: pytest.fail("downloaded"))
    with pytest.raises(ModelUnavailable, match="has no safetensors weights on the hub"):
        download.download("owner/name")


def test_only_weights_and_settings_are_asked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Program code and pickled files are never in the list of wanted files."""
    asked: dict[str, list[str]] = {}
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda name, **wanted: asked.update(wanted) or str(tmp_path))
    assert download.download("owner/name") == tmp_path
    assert not [pattern for pattern in asked["allow_patterns"] if pattern.endswith((".py", ".bin", ".pt", "*"))]
