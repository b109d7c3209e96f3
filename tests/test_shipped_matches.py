"""The matching rule of today finds in every shipped completion what the rule that judged it found."""

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from sftqa_core.engine.wanted_facts import _sha
from sftqa_core.knowledge.matching import EXACT, Matcher, exact_answers, named
from sftqa_core.workspace import shipped_folder
from tests.amount import few

STORES = sorted(path.parent.name for path in shipped_folder().glob("completions/*/part-000.parquet") if pq.read_metadata(path).num_rows)


def test_nine_stores_ship_with_texts():
    """Two schemes of four models, and the full probe of a real one."""
    assert len(STORES) == 9


@pytest.mark.parametrize("store", few(STORES, *STORES[:2]))
def test_every_shipped_completion_has_the_hits_it_had(store):
    """Counted anew from the texts, prompt by prompt; the keys of what was counted are those of today."""
    folder = shipped_folder() / "completions" / store
    probed = pd.read_parquet(folder / "facts-000.parquet")
    hits = pd.read_parquet(shipped_folder() / "hits" / store / "part-000.parquet").set_index("fact_id").loc[probed["fact_id"]]
    compiled = []
    for match, answers, sha in zip(probed["match"], probed["answers"], hits["answers_sha"], strict=True):
        assert named(match, answers) == match
        assert _sha((match, *sorted(answers))) == sha
        compiled.append(exact_answers(answers) if match == EXACT else Matcher(match).compile(answers))
    rows = pq.read_table(folder / "part-000.parquet", read_dictionary=["fact_id", "text", "stop"])
    fact, text, stop = (rows[name].combine_chunks() for name in ("fact_id", "text", "stop"))
    place = {fact_id: number for number, fact_id in enumerate(probed["fact_id"])}
    of_fact = np.array([place[fact_id] for fact_id in fact.dictionary.to_pylist()])[fact.indices.to_numpy()]
    texts, of_text = text.dictionary.to_pylist(), text.indices.to_numpy()
    pairs, of_pair = np.unique(of_fact * np.int64(len(texts)) + of_text, return_inverse=True)
    found = np.array([compiled[pair // len(texts)].find(texts[pair % len(texts)]) is not None for pair in pairs.tolist()])[of_pair]
    width = len(hits["hits_per_template"].iloc[0])
    template = rows["template"].to_numpy().astype(np.int64)
    slot = np.where(template < 0, width // 2 - 1 - template, template)  # greedy completions stand behind the others
    counted = np.zeros((len(probed), width), dtype=np.int64)
    np.add.at(counted, (of_fact[found], slot[found]), rows["count"].to_numpy()[found])
    assert (counted == np.stack(hits["hits_per_template"].to_list())).all()
    stopped = np.array([why == "hit" for why in stop.dictionary.to_pylist()])[stop.indices.to_numpy()]
    assert found[stopped].all()
