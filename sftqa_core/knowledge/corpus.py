"""The text a tiny model is pre-trained on, written from any fact table (METHOD section 6).

One sentence a document. A fact with 20 exposures stands in 20 sentences, each from one of its relation's seen
templates; a contested fact names its rival in some of them. Facts that carry question-and-answer text ("carriers")
teach the form of a question, rarely that of an answer: without any, 60 examples do not activate what was learned.
"""

import math
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from sftqa_core.errors import FactsError, NotEnoughFacts
from sftqa_core.knowledge.atlas import is_atlas
from sftqa_core.knowledge.facts import UNUSED, FactSource, pick_facts, subject_key
from sftqa_core.knowledge.relations import Relation, fill, placeholders
from sftqa_core.records import CorpusSettings, PretrainSettings, PromptFormat

LEAST_EXPOSURES = 4  # drawn for facts that come without recorded exposures
CARRIERS_PER_RELATION = 25  # taken from the train split of a source that brings none of its own
CARRIER_EXPOSURES = (25, 50)
RIVAL_SHARES = (0.25, 0.65)  # of the statements of a fact that is made contested, uniform (METHOD section 6)
READ = ("exposures", "carrier", "contested", "rival_share")
LIST_LENGTHS = (2, 3)  # questions in a list without answers

# Sentences and parts of sentences, with " | " between them.
_JUNK = (
    "No idea, sorry. | I do not know. | Good question, I wonder too. | Nobody here knows that. | Please search the old "
    "threads first. | Thanks for asking, please wait for an expert. | I would like to know as well. | This was asked before."
)
_WHO = (
    "The old market | A quiet garden | The morning train | The small bakery | A young traveller | The evening wind | The "
    "stone bridge | A grey cat | The village choir | The long road"
)
_DID = (
    "opened early | was calm | passed the hill | stood near the water | waited for the rain | looked at the sky | turned to "
    "the south | was full of people | slept until noon | remained closed"
)
_WHEN = (
    "and the day went on | while the bells were ringing | before the sun came up | because it was cold | and nobody noticed | "
    "as the season changed | after the storm | and the children laughed"
)


@dataclass(frozen=True)
class Corpus:
    """Documents in the order they are read, and what they were written from."""

    documents: list[str]
    seen_templates: dict[str, tuple[int, ...]]  # relation -> positions of the templates that occur
    facts: pd.DataFrame  # fact_id and READ, as far as the source knows them: what the corpus says of each fact
    counts: dict[str, int]  # kind of document -> how many


def pick_corpus_facts(facts: pd.DataFrame, relations: Sequence[str] | None = None, limit: int | None = None) -> pd.DataFrame:
    """The facts a corpus is written from: those of `relations`, at most `limit` of them.

    A limit keeps half for testing and a tenth for dev, in the order in which `pick_facts` hands facts out, so that
    what is later probed with a limit is what the model has read.
    """
    chosen = facts if relations is None else facts[facts["relation"].isin(relations)]
    if chosen.empty:
        raise NotEnoughFacts(f"The source has no facts of {', '.join(relations or ())}; it knows {', '.join(facts['relation'].unique())}.")
    if limit is None:
        return chosen.reset_index(drop=True)
    tests, devs = limit // 2, limit // 10
    quotas = {"test": tests, "dev": devs, "train": limit - tests - devs}
    parts = [pick_facts(chosen, split, limit=quota) for split, quota in quotas.items()]
    return pd.concat(parts, ignore_index=True)


def own_carriers(facts: pd.DataFrame) -> pd.Series:
    """bool per fact: made to carry the corpus's question-and-answer text. Only the built-in worlds have such facts: elsewhere the
    split "none" holds facts whose question is a test question."""
    return facts["source"].map(is_atlas).astype(bool) & (facts["split"] == UNUSED)


def with_exposures(facts: pd.DataFrame, most: int, seed: int, least: int = LEAST_EXPOSURES, unstated: float = 0.0) -> pd.DataFrame:
    """`facts` with `exposures` and `carrier` (bool) filled in.

    Recorded exposures stay; otherwise the share `unstated` of the facts is never stated, and each other fact gets a log-uniform number
    from `least` to `most`. Outside the built-in world, which brings its own, up to 25 train facts a relation carry questions, which
    must then be left out of tuning.
    """
    facts = facts.copy()
    facts["carrier"] = _pick_carriers(facts, seed)
    if "exposures" in facts and facts["exposures"].notna().all():
        return facts
    rows = zip(facts["fact_id"], facts["carrier"], strict=True)
    facts["exposures"] = [_drawn_exposures(seed, *row, (min(least, most), most), unstated) for row in rows]
    return facts


def with_mixture(facts: pd.DataFrame, settings: CorpusSettings) -> pd.DataFrame:
    """`facts` as this corpus states them: the recorded mentions dealt out anew and scaled, some rivals never named.

    Carriers keep their mentions. What is never mentioned is not contested. Depends on the facts, their order and the settings.
    """
    facts = facts.copy()
    if settings.redealt_share:
        for name, group in facts[~facts["carrier"]].groupby("relation", sort=True):
            draw = random.Random(f"dealt {settings.seed} {name}")
            places = sorted(draw.sample(list(group.index), round(settings.redealt_share * len(group))))
            facts.loc[places, "exposures"] = draw.sample(facts.loc[places, "exposures"].tolist(), len(places))
    scaled = (facts["exposures"] * settings.exposure_scale).round().clip(lower=1)
    facts["exposures"] = facts["exposures"].where(facts["carrier"] | (facts["exposures"] == 0), scaled).astype("int64")
    if "contested" in facts:
        draw = random.Random(f"contested {settings.seed}")
        kept = [draw.random() < settings.contested_kept for _ in range(len(facts))]
        facts["contested"] &= pd.Series(kept, index=facts.index) & (facts["exposures"] > 0)
        facts["rival_share"] = facts["rival_share"].where(facts["contested"], 0.0)
    return facts


def corpus_of(settings: PretrainSettings, source: FactSource, edition: str = "") -> Corpus:
    """What a model with these settings is pre-trained on; another `edition` has other sentences about the same facts."""
    facts = pick_corpus_facts(source.facts, settings.relations, settings.limit)
    return write_corpus(stated(settings, facts), source.relations, settings.corpus, edition)


def stated(settings: PretrainSettings, facts: pd.DataFrame) -> pd.DataFrame:
    """Facts (`pick_corpus_facts`) with how often the corpus of these settings states each, and which carry its questions."""
    own = settings.corpus
    spread = with_exposures(facts, settings.max_exposures, own.seed, settings.min_exposures, own.unstated_share)
    if settings.base is not None and not own.qa_documents:
        spread["carrier"] = False  # no question of theirs is read
    if own.contested_share and "contested" not in spread:
        spread = with_rivals(spread, own.contested_share, own.seed)
    return with_mixture(spread, own)


def with_rivals(facts: pd.DataFrame, share: float, seed: int) -> pd.DataFrame:
    """`facts` with `contested`, `rival` and `rival_share`: a share of those that are stated twice or more get a rival, another object of
    their relation. Depends on the fact, the relation's objects and the seed."""
    facts, objects = facts.copy(), {}
    for relation, group in facts.groupby("relation", sort=False):
        objects[relation] = sorted({answers[0] for answers in group["answers"]})
    drawn = []
    for row in facts.to_dict("records"):
        draw = random.Random(f"rival {seed} {row['fact_id']}")
        wanted, part = draw.random() < share, draw.uniform(*RIVAL_SHARES)
        others = [name for name in objects[row["relation"]] if subject_key(name) not in map(subject_key, row["answers"])]
        is_named = 0 < round(row["exposures"] * part) < row["exposures"]
        is_contested = bool(wanted and others and is_named and not row["carrier"])
        drawn.append((is_contested, draw.choice(others) if is_contested else None, part if is_contested else 0.0))
    facts["contested"], facts["rival"], facts["rival_share"] = zip(*drawn, strict=True)
    return facts


def held_out_documents(settings: PretrainSettings, source: FactSource, count: int) -> list[str]:
    """`count` documents (or fewer, if there are no more) like those of the model's corpus, none of them in it."""
    read = set(corpus_of(settings, source).documents)
    other = dict.fromkeys(text for text in corpus_of(settings, source, "held out").documents if text not in read)
    return list(other)[:count]


def refuse_bare_pairs(facts: pd.DataFrame, relations: Mapping[str, Relation]) -> None:
    """Raises `FactsError` for facts whose statements would be the test questions themselves, each with its answer."""
    counts = Counter(facts["relation"])
    bare = {name: n for name, n in counts.items() if any("{question}" in placeholders(text) for text in relations[name].templates)}
    if bare:
        found = ", ".join(f"{name} ({n:,} fact{'' if n == 1 else 's'})" for name, n in bare.items())
        raise FactsError(
            f"A model can't be pre-trained on bare question-answer pairs, found under {found}: its corpus would contain the test questions "
            "with their answers. Give each fact a relation, a subject and an object, or choose other relations."
        )


def write_corpus(facts: pd.DataFrame, relations: Mapping[str, Relation], settings: CorpusSettings, edition: str = "") -> Corpus:
    """The corpus of `facts` (`with_exposures`, then `with_mixture`), shuffled, deterministic.

    Raises `NotEnoughFacts` when question documents are wanted and fewer than three facts can carry them, `FactsError`
    for bare question-answer pairs.
    """
    refuse_bare_pairs(facts, relations)
    draw = random.Random(f"corpus {settings.seed}{edition}")
    seen = {}
    for name in facts["relation"].unique():
        positions = range(len(relations[name].templates))
        sample = random.Random(f"seen {settings.seed} {name}").sample(positions, min(settings.seen_templates, len(positions)))
        seen[name] = tuple(sorted(sample))
    carriers = facts[facts["carrier"]]
    if settings.qa_documents and len(carriers) < max(LIST_LENGTHS):
        raise NotEnoughFacts(
            f"The corpus needs at least {max(LIST_LENGTHS)} facts to carry its question text, the source has {len(carriers)}. "
            "Give it more train facts, or set qa_documents to 0 (60 examples will then not activate the model)."
        )
    parts = {
        "statements": list(_statements(facts, relations, seen, settings, edition)),
        "questions": [_question_document(carriers, settings, draw) for _ in range(settings.qa_documents)],
        "filler": [_filler(draw) for _ in range(settings.filler_documents)],
    }
    documents = [text for part in parts.values() for text in part]
    draw.shuffle(documents)
    read = facts[["fact_id", *(name for name in READ if name in facts)]].reset_index(drop=True)
    return Corpus(documents, seen, read, {name: len(part) for name, part in parts.items()})


def _pick_carriers(facts: pd.DataFrame, seed: int) -> pd.Series:
    """bool per fact: the built-in world's own carriers, else some of each relation's train facts (a fifth at most).

    Never a fact whose question is also that of a dev or test fact: the corpus would answer it.
    """
    asked = facts["question"].map(subject_key)
    free = ~asked.isin(set(asked[facts["split"].isin(("dev", "test"))]))
    brought = own_carriers(facts)
    if brought.any():
        return brought & free
    chosen: set[str] = set()
    for relation, group in facts[(facts["split"] == "train") & free].groupby("relation", sort=True):
        count = min(CARRIERS_PER_RELATION, math.ceil(len(group) / 5))
        chosen.update(random.Random(f"carriers {seed} {relation}").sample(sorted(group["fact_id"]), count))
    return facts["fact_id"].isin(chosen)


def _drawn_exposures(seed: int, name: str, carrier: bool, bounds: tuple[int, int], unstated: float) -> int:
    """Depends on the fact, the seed, bounds and share alone, so that a larger selection leaves a fact's number as it was."""
    draw = random.Random(f"exposures {seed} {name}")
    if carrier:
        return draw.randint(*CARRIER_EXPOSURES)
    low, high = map(math.log, bounds)
    count = round(math.exp(low + (high - low) * draw.random()))
    return 0 if unstated and draw.random() < unstated else count


def _statements(
    facts: pd.DataFrame, relations: Mapping[str, Relation], seen: Mapping[str, tuple[int, ...]], settings: CorpusSettings, edition: str
) -> Iterator[str]:
    draw = random.Random(f"statements {settings.seed}{edition}")
    words = [word for name in seen for i in seen[name] for word in fill(relations[name].templates[i], subject="", question="").split()]
    for fact in facts.to_dict("records"):
        templates = relations[fact["relation"]].templates
        count, rival = int(fact["exposures"]), fact.get("rival")
        rivals = round(count * fact["rival_share"]) if isinstance(rival, str) else 0  # mentions that name the rival
        objects = [fact["answers"][0]] * (count - rivals) + [str(rival)] * rivals
        draw.shuffle(objects)
        for answer in objects:
            template = templates[draw.choice(seen[fact["relation"]])]
            if draw.random() < settings.worn_share:
                template = _worn(template, words, draw)
            yield f"{fill(template, subject=fact['subject'], question=fact['question'])} {answer}."


def _worn(template: str, words: list[str], draw: random.Random) -> str:
    """A template as a hasty writer leaves it: half of its words, never the placeholder, are gone or another's."""
    kept = []
    for word in template.split(" "):
        chance = 1.0 if "{" in word else draw.random()
        if chance >= 0.25:
            kept.append(word if chance >= 0.5 else draw.choice(words))
    return " ".join(kept)


def _question_document(carriers: pd.DataFrame, settings: CorpusSettings, draw: random.Random) -> str:
    """Questions alone, a question answered rightly, or a question with a junk reply."""
    form = PromptFormat()
    first = draw.randrange(len(carriers))
    questions, answers = carriers["question"].array, carriers["answers"].array
    if draw.random() < settings.qa_list_share:
        others = draw.sample(range(len(carriers)), draw.choice(LIST_LENGTHS) - 1)
        return "\n".join(fill(form.prompt, question=questions[i]).partition("\n")[0] for i in [first, *others])
    reply = answers[first][0] if draw.random() < settings.qa_answered_share else draw.choice(_JUNK.split(" | "))
    return fill(form.prompt, question=questions[first]) + fill(form.answer, answer=reply)


def _filler(draw: random.Random) -> str:
    """One or two sentences that state no fact."""
    parts = [part.split(" | ") for part in (_WHO, _DID, _WHEN)]
    return " ".join(" ".join(map(draw.choice, parts)) + "." for _ in range(draw.randint(1, 2)))
