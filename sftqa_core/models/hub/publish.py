"""Putting a folder on the hub as a new model. The hub's client does it, with the login that it has: no token passes through here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sftqa_core.errors import ModelUnavailable, SettingsError, SftqaError, first_line
from sftqa_core.models.hub.fetch import has_token
from sftqa_core.models.hub.hub_cache import hub_name

TOLD = "Model tuned by SFT-QA Explorer"  # the commit's message


def check_new(name: str) -> None:
    """Raises `SettingsError` for a name that no repository can have, or without a login for the hub."""
    hub = hub_name(name)
    if hub is None or hub.revision or hub.subfolder or "/" not in name:
        raise SettingsError(f"--repo must be the hub's OWNER/NAME, got {name!r}.")
    if not has_token():
        raise SettingsError("There is no login for the hub here. Log in with `hf auth login`, or set HF_TOKEN; neither is stored by us.")


def publish(folder: Path, name: str, public: bool) -> str:
    """Create the repository `name`, private unless `public`, with the files of `folder`; returns its address.

    A repository of that name is left as it is. Raises `SettingsError` for one that is there already, `ModelUnavailable` where the hub
    refuses or can't be reached.
    """
    check_new(name)
    from huggingface_hub import HfApi

    hub = HfApi()
    with _refusals(name, "Nothing was sent."):
        made = hub.create_repo(name, private=not public, exist_ok=False)
    with _refusals(name, "The repository is there, and may be empty: delete it on its page, then try again."):
        hub.upload_folder(repo_id=name, folder_path=folder, commit_message=TOLD)
    return str(made)


@contextmanager
def _refusals(name: str, left: str) -> Iterator[None]:
    """What the hub's client raises, in words; `left` says what is there now."""
    from huggingface_hub import errors

    try:
        yield
    except SftqaError:
        raise
    except errors.OfflineModeIsEnabled:
        raise ModelUnavailable(f"{name} can't be sent while HF_HUB_OFFLINE is set. {left}") from None
    except Exception as error:  # the client's own, of its HTTP library, of the disk
        status = getattr(getattr(error, "response", None), "status_code", None)
        if status == 409:
            raise SettingsError(f"The hub has {name} already, which is left as it is. Choose another name.") from None
        if status in (401, 403):
            may = f"The hub does not let this login make {name}. Check the owner, and that the token may write."
            raise ModelUnavailable(f"{may} {left}") from None
        raise ModelUnavailable(f"Sending {name} failed: {first_line(error)}. {left}") from None
