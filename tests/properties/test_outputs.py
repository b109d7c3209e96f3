"""What leaves the program: exported cells are no formulas, shown text is shown as it stands; and folders of models."""

import csv
import io
import json
import re

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from pages._ui.downloads import csv_bytes
from pages._ui.wording import literal
from sftqa_core.errors import ModelUnavailable, SftqaError
from sftqa_core.knowledge.tables.spreadsheet import is_formula, protect_cell, unprotect_cell
from sftqa_core.models.catalogue import find_model
from sftqa_core.models.model_files import ModelFolder
from sftqa_core.workflows.lookups import _file_name
from tests.properties.made import changes, file_of, mutated, texts, told, values

_ESCAPED = re.compile(r"\\([\\`*_{}\[\]()<>#+\-.!|~$:&=^])")
_UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029\u202a-\u202e\u2066-\u2069]")
HEADER = json.dumps({"a": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}}).encode()
WEIGHTS = len(HEADER).to_bytes(8, "little") + HEADER + bytes(16)


@given(texts, texts)
def test_exported_cells_are_no_formulas(name, cell):
    """Read back as a spreadsheet reads it, no cell and no column name begins like one, behind no white space either."""
    content = csv_bytes(pd.DataFrame({name: [cell, [cell, "x"]], "number": [-1, 2.5]})).decode("utf-8-sig")
    rows = list(csv.reader(io.StringIO(content, newline="")))
    assert [row[1] for row in rows] == ["number", "-1.0", "2.5"]
    for found in (row[0] for row in rows):
        assert not found.lstrip("\u200b\ufeff \t").startswith(("=", "+", "-", "@", "＝", "＋", "－", "＠"))
        assert found.startswith("'") or not is_formula(found)


@given(texts)
def test_a_protected_cell_can_be_taken_back(text):
    """`unprotect_cell` gives what `protect_cell` was given, apostrophes and all."""
    assert unprotect_cell(protect_cell(text)) == text


@given(st.one_of(texts, st.text(alphabet="*_`[]()<>#$:|~\\w.@/-=ab \n\t", max_size=40)))
def test_shown_text_keeps_every_character(text):
    """Without escapes and joiners a shown text is the text; what can't be seen has become a sign."""
    shown = literal(text)
    if text == "":
        assert shown == ""
        return
    plain = _ESCAPED.sub(r"\1", shown).replace("\u2060", "")
    wanted = _UNSEEN.sub("\ufffd", text.replace("\r\n", "\n")).replace("\u2060", "")
    bare = [line.strip(" \t\xa0") for line in plain.split("\n")]
    assert bare == [line.strip(" \t\xa0") for line in wanted.split("\n")]
    assert not re.search(r"(?<!\\)(?:\\\\)*[*_`\[\]<>$~|#:]", re.sub(r"\\[^\w\s]", "", shown))


@given(texts)
def test_any_model_name_is_a_card_or_an_error(name):
    """A name out of an address, a form or a command line."""
    try:
        assert find_model(name).name == name
    except SftqaError as error:
        told([str(error)])


@given(st.one_of(texts, st.text(max_size=300)))
def test_any_upload_gets_a_name_that_stays_where_it_belongs(name):
    """No folder, nothing hidden, no control character, short enough for any disk."""
    found = _file_name(name)
    assert found == found.strip("-. ")
    assert not set(found) & set('/\\:*?"<>|\0\n')
    assert 0 < len(found.encode()) <= 255


@given(st.one_of(st.binary(max_size=80), changes.map(lambda damage: mutated(WEIGHTS, damage))))
def test_any_bytes_as_weights_are_counted_or_refused(content):
    """Never more numbers than the file has room for."""
    path = file_of(content, "model.safetensors")
    try:
        assert 0 <= ModelFolder(path.parent).parameters() <= 8 * len(content)
    except ModelUnavailable as error:
        told([str(error)])


@given(values, values)
def test_any_configuration_is_read_or_refused(config, index):
    """Any JSON as config.json and as the index of weights."""
    folder = file_of(json.dumps(config), "config.json").parent
    file_of(json.dumps({"weight_map": index}), "model.safetensors.index.json")
    for look in (ModelFolder(folder).config, ModelFolder(folder).weights):
        try:
            look()
        except ModelUnavailable as error:
            told([str(error)])
    (folder / "model.safetensors.index.json").unlink()
    (folder / "config.json").unlink()
