"""The house rules of imports and sizes, read from the source."""

import ast
from collections import Counter
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CORE = ROOT / "sftqa_core"
# A module imports only what stands to its left (or beside it).
ORDER = [
    {"errors", "jsonrecord", "records", "progress"},
    {"workspace"},
    {"processes"},
    {"artifacts"},
    {"knowledge"},
    {"models"},
    {"engine"},
    {"memory"},
    {"training"},
    {"evaluation"},
    {"studies"},
    {"planning"},
    {"workflows"},
    {"jobs"},
    {"cli", "server"},
]
RANK = {name: rank for rank, names in enumerate(ORDER) for name in names}
VOCABULARY = ORDER[0]
HEAVY = {"torch", "peft", "transformers", "accelerate"}
HEAVY_PACKAGES = {"models", "engine", "memory", "training", "evaluation"}
SOURCES = sorted(CORE.rglob("*.py"))
PAGES = [ROOT / "app.py", *sorted((ROOT / "pages").rglob("*.py"))]


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def imports(path: Path) -> set[str]:
    """Dotted names that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide their direction"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def part(path: Path) -> str:
    """The part of the house a file belongs to: its package, or its own name."""
    relative = path.relative_to(CORE)
    return relative.parts[0].removesuffix(".py")


def core_parts(path: Path) -> set[str]:
    return {name.split(".")[1] for name in imports(path) if name.startswith("sftqa_core.")}


@pytest.mark.parametrize("path", [p for p in SOURCES if p != CORE / "__init__.py"], ids=lambda p: str(p.relative_to(CORE)))
def test_imports_go_one_way(path):
    """Each module of the core imports only what stands left of it in the house's order."""
    here = part(path)
    if here == "figures":
        assert core_parts(path) <= VOCABULARY | {"figures"}
        return
    assert here in RANK, f"{here} has no place in the order of the house"
    wrong = {other for other in core_parts(path) if other == "figures" or RANK.get(other, 99) > RANK[here]}
    assert not wrong, f"{here} imports {wrong}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(CORE)))
def test_heavy_libraries_stay_in_their_packages(path):
    """torch, transformers and peft appear only where models run; streamlit nowhere in the core."""
    top = {name.split(".")[0] for name in imports(path)}
    assert "streamlit" not in top
    if part(path) not in HEAVY_PACKAGES:
        assert not top & HEAVY


def test_no_module_is_part_of_a_circle():
    """Following imports, wherever in a file they stand, never leads back to where one began."""
    names = {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in SOURCES}
    needs = {name: {found for found in _modules(imports(path), names) if found != name} for name, path in names.items()}
    TopologicalSorter(needs).prepare()  # raises CycleError, which names the circle


def _modules(found: set[str], names: dict[str, Path]) -> set[str]:
    """The modules behind dotted names: `a.b.name` is the module a.b.name where there is one, else the module a.b."""
    return {name if name in names else name.rpartition(".")[0] for name in found} & names.keys()


def test_a_file_name_occurs_once():
    """A name stands for one thing over the whole core."""
    counts = Counter(path.name for path in SOURCES if not path.name.startswith("__"))
    assert [name for name, count in counts.items() if count > 1] == []


@pytest.mark.parametrize("path", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_pages_hold_no_machinery(path):
    """Pages import neither torch nor a database, and none renders raw HTML."""
    top = {name.split(".")[0] for name in imports(path)}
    assert not top & (HEAVY | {"sqlite3", "pickle"})
    assert "unsafe_allow_html" not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", [*SOURCES, *PAGES], ids=lambda p: str(p.relative_to(ROOT)))
def test_files_and_functions_stay_small(path):
    """No file has more than 450 lines and no function more than 60; pages have at most 80, app.py 60."""
    text = path.read_text(encoding="utf-8")
    limit = 60 if path.name == "app.py" else 80 if path.parent.name == "pages" else 450
    assert text.count("\n") <= limit
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno - node.lineno < 60, node.name
