"""Facts for the probing tests, and a sampler that knows them by a share written into the subject."""

import pandas as pd

from sftqa_core.engine.sampling import FakeSampler
from sftqa_core.knowledge.facts import FactSource
from sftqa_core.knowledge.relations import Relation
from sftqa_core.records import SourceReport

BORN = ("{subject} was born in", "{subject} is a native of")
WED = ("{subject} is married to", "{subject} shares a home with", "{subject} wed")
RELATIONS = {
    "P19": Relation("P19", "place of birth", "in", "Where was {subject} born?", BORN),
    "P26": Relation("P26", "spouse", "out", "Who is {subject} married to?", WED),
}


def source_of(count, answers=("Paris",)):
    """`count` facts, alternately of both relations; fact i is known with share i / count."""
    rows = [
        {
            "fact_id": f"{i + 1:016x}",
            "source": "test",
            "relation": "P19" if i % 2 == 0 else "P26",
            "subject": f"Person {i} {i / count:.3f}",
            "answers": list(answers),
            "question": f"Where is {i}?",
            "split": "train",
            "domain": "in" if i % 2 == 0 else "out",
        }
        for i in range(count)
    ]
    facts = pd.DataFrame(rows)
    report = SourceReport("test", count, {}, 0, count, 0, 0, 0)
    return FactSource("test", facts, dict(RELATIONS), report, "f" * 16)


def knowing_sampler(loaded, source, batch_size=64):
    """Says "Paris" with each fact's own share, else "somewhere"; rows of known facts stop on the answer."""
    shares = {fact: float(subject.split()[-1]) for fact, subject in zip(source.facts["fact_id"], source.facts["subject"], strict=True)}
    return FakeSampler(lambda prompt, u: "Paris it is" if u < shares[prompt.fact_id] else "somewhere else", batch_size)
