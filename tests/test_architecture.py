"""The house rules of imports and sizes, read from the source."""

import ast
from collections import Counter
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

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
    {"reading"},
    {"reports"},
    {"jobs"},
    {"cli", "server"},
    {"shipping"},
]
RANK = {name: rank for rank, names in enumerate(ORDER) for name in names}
VOCABULARY = ORDER[0]
HEAVY = {"torch", "peft", "transformers", "accelerate"}
HEAVY_PACKAGES = {"models", "engine", "memory", "training", "evaluation"}
SOURCES = sorted(CORE.rglob("*.py"))
PAGES = [ROOT / "app.py", *sorted((ROOT / "pages").rglob("*.py"))]


@cache
def read(path: Path) -> tuple[set[str], list[tuple[str, int]]]:
    """Dotted names that a file imports, anywhere in it; and its functions, each with its number of lines."""
    found: set[str] = set()
    functions = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide their direction"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            functions.append((node.name, node.end_lineno - node.lineno + 1))
    return found, functions


def imports(path: Path) -> set[str]:
    """Dotted names that a file imports."""
    return read(path)[0]


def part(path: Path) -> str:
    """The part of the house a file belongs to: its package, or its own name."""
    relative = path.relative_to(CORE)
    return relative.parts[0].removesuffix(".py")


def core_parts(path: Path) -> set[str]:
    return {name.split(".")[1] for name in imports(path) if name.startswith("sftqa_core.")}


def libraries(path: Path) -> set[str]:
    """The top-level packages that a file imports."""
    return {name.split(".")[0] for name in imports(path)}


def offenders(wrong: dict[Path, object]) -> dict[str, object]:
    """Of what each file does wrong: the files with something."""
    return {str(path.relative_to(ROOT)): what for path, what in wrong.items() if what}


def refused(here: str, others: set[str]) -> set[str]:
    """Those of `others` that a module of the part `here` may not import."""
    if here == "figures":
        return others - VOCABULARY - {"figures"}
    drawn = {"figures"} if here == "reports" else set()  # which hold the same charts as pages
    return others - drawn - {name for name, rank in RANK.items() if rank <= RANK[here]}


def test_imports_go_one_way():
    """Each module of the core imports only what stands left of it in the house's order."""
    paths = [path for path in SOURCES if path != CORE / "__init__.py"]
    assert {part(path) for path in paths} - RANK.keys() == {"figures"}, "a part has no place in the order of the house"
    assert offenders({path: refused(part(path), core_parts(path)) for path in paths}) == {}


def test_the_core_knows_no_page():
    """Pages are for the explorer alone: an installed core has none beside it."""
    assert offenders({path: libraries(path) & {"pages", "app", "tests"} for path in SOURCES}) == {}


def test_heavy_libraries_stay_in_their_packages():
    """torch, transformers and peft appear only where models run; streamlit nowhere in the core."""
    allowed = {path: HEAVY if part(path) in HEAVY_PACKAGES else set() for path in SOURCES}
    assert offenders({path: libraries(path) & (HEAVY | {"streamlit"}) - allowed[path] for path in SOURCES}) == {}


def test_only_the_driver_knows_ray():
    """Everything else of the core does without it."""
    assert [path.name for path in SOURCES if "ray" in libraries(path)] == ["ray_driver.py"]


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


def test_pages_hold_no_machinery():
    """Pages import neither torch nor a database, and none renders raw HTML."""
    assert offenders({path: libraries(path) & {*HEAVY, "sqlite3", "pickle"} for path in PAGES}) == {}
    assert offenders({path: "unsafe_allow_html" in path.read_text(encoding="utf-8") for path in PAGES}) == {}


def test_files_stay_small():
    """No file has more than 450 lines; pages have at most 80, app.py 60."""
    limits = {path: 60 if path.name == "app.py" else 80 if path.parent.name == "pages" else 450 for path in [*SOURCES, *PAGES]}
    lines = {path: path.read_text(encoding="utf-8").count("\n") for path in limits}
    assert offenders({path: lines[path] if lines[path] > limit else 0 for path, limit in limits.items()}) == {}


def test_functions_stay_small():
    """None has more than 60 lines."""
    long = {path: [function for function in read(path)[1] if function[1] > 60] for path in [*SOURCES, *PAGES]}
    assert offenders(long) == {}
