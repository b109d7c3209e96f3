"""A part of EntityQuestions that comes with the program: real facts without a download.

Of every relation the same number of facts a split, chosen by a hash of the fact's id, so neither the order of the files nor anything a
model knows plays a part. Its zip has EntityQuestions' own layout and holds that dataset's MIT licence; facts have the ids that they have
in the whole, so what was measured on the part holds there, too. Made from the whole dataset by

    python -m sftqa_core.knowledge.entity_sample FOLDER OUT.zip
"""

import hashlib
import json
import sys
import zipfile
from collections.abc import Iterable
from pathlib import Path

from sftqa_core.knowledge.entity_questions import load_entity_questions
from sftqa_core.knowledge.facts import FactSource
from sftqa_core.workspace import Workspace

NAME = "entity-questions-sample"
FILE = Path(__file__).with_name("entity_sample.zip")
NOTE = (
    "A part of EntityQuestions (Sciavolino et al. 2021, MIT licence): of each relation the same number of facts, chosen by a hash. "
    "The whole has fourteen times as many."
)
SIZES = {"train": 400, "dev": 40, "test": 200}  # facts of a relation, at most
_LICENCE = "LICENSE"
_LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the same facts make the same file


def load_sample(workspace: Workspace | None = None) -> FactSource:
    """The facts of the part."""
    source = load_entity_questions(FILE, NAME, workspace)
    return FactSource(NAME, source.facts, source.relations, source.report, source.fingerprint, (NOTE,))


def licence() -> bytes:
    """EntityQuestions' notice, for whatever quotes its facts."""
    with zipfile.ZipFile(FILE) as packed:
        return packed.read(_LICENCE)


def write_sample(whole: FactSource, licence: str, out: Path) -> None:
    """Choose and write the part of a whole."""
    facts = whole.facts[whole.facts["split"].isin(list(SIZES))]
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as packed:
        _add(packed, _LICENCE, licence)
        for split, size in SIZES.items():
            for relation, rows in facts[facts["split"] == split].groupby("relation"):
                drawn = sorted(zip(map(_draw, rows["fact_id"]), rows["question"], map(list, rows["answers"]), strict=True))
                listed = [{"question": question, "answers": answers} for _, question, answers in drawn[:size]]
                _add(packed, f"{split}/{relation}.{split}.json", _lines(listed))


def _draw(fact_id: str) -> str:
    return hashlib.sha256(f"sample {fact_id}".encode()).hexdigest()


def _lines(rows: Iterable[dict[str, object]]) -> str:
    return "[" + ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "]\n"


def _add(packed: zipfile.ZipFile, name: str, text: str) -> None:
    member = zipfile.ZipInfo(name, _LONG_AGO)
    member.compress_type, member.external_attr = zipfile.ZIP_DEFLATED, 0o100644 << 16
    packed.writestr(member, text.encode())


if __name__ == "__main__":
    place = Path(sys.argv[1])
    write_sample(load_entity_questions(place), (place / _LICENCE).read_text(encoding="utf-8"), Path(sys.argv[2]))
