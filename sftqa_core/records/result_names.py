"""What runs, cells and studies are called, wherever one can be named.

20261124-114106-atlas-llama-n60-full-s0-717a      a run
amount-9203b502                                   a study
amount-9203b502:atlas-llama:n60:s0                a cell of it (workflows/tested/tested_models.py)
import:BUNDLE:NAME                                any of these that was imported with a bundle
"""

import re

CELL = ":"  # stands in every cell's own name and in no run's
IMPORTED = "import:"  # what names of imported runs, cells and studies begin with
_BUNDLE = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?")


def is_bundle_name(name: str) -> bool:
    """Whether a bundle could be called that: it is the name of a folder, and part of other names."""
    return _BUNDLE.fullmatch(name) is not None


def bundle_of(name: str) -> str:
    """The bundle that a run, cell or study of that name was imported with; empty for one's own and for what ships."""
    bundle, part, _ = name.removeprefix(IMPORTED).partition(":")
    return bundle if name.startswith(IMPORTED) and part and is_bundle_name(bundle) else ""


def own_name(name: str) -> str:
    """What a run, cell or study of that name is called where it was made."""
    return name.removeprefix(f"{IMPORTED}{bundle}:") if (bundle := bundle_of(name)) else name


def imported_name(bundle: str, name: str) -> str:
    """What a run, cell or study of that name goes by once it is imported; its own name without a bundle."""
    return f"{IMPORTED}{bundle}:{name}" if bundle else name


def is_cell(name: str) -> bool:
    """Whether a name is that of a study's cell."""
    return CELL in own_name(name)


def study_and_rest(name: str) -> tuple[str, str]:
    """Of a cell's name that of its study, and what follows."""
    head, _, rest = own_name(name).partition(CELL)
    return imported_name(bundle_of(name), head), rest
