"""The built-in world: invented facts for every relation, with how often each is stated in the corpus.

`atlas` is the world that ships. `atlas:8` is another one, with eight times as many names and facts of every relation, for
models that `atlas` is too small for.

Nothing in it is true of the real world and nobody can have read it before, so a model that is pre-trained on its
corpus (corpus.py) knows exactly what this table says it was shown. Some facts are never shown; of the others some
are contested: a share of their mentions names one rival object. Facts of split "none" carry the corpus's
question-and-answer text and are in no other split.

Names are invented, too: syllables put together by a seed, each invented word used once in a world.
"""

import functools
import math
import random
import re
from dataclasses import dataclass
from typing import Any, Self

from sftqa_core.errors import FactsError
from sftqa_core.jsonrecord import Record, shown
from sftqa_core.knowledge.facts import UNUSED, FactSource, content_fingerprint, fact_table, summarise
from sftqa_core.knowledge.relations import builtin_relations, fill
from sftqa_core.records import SPLITS

PLANTED_HEAD = "The built-in world is planted."
PLANTED = (  # METHOD 8.8, in words anyone understands
    "Its people and places are invented, and its text was written so that a small model knows some facts well and others badly. It "
    "demonstrates the mechanism. It is no evidence about large models."
)
NAME = "atlas"
MOST_TIMES = 16  # beyond it a corpus takes more memory than most machines have
_TIMES = re.compile(r"atlas:(\d{1,4})")
_SEED_OF_LARGER = 1_000  # a larger world draws from streams of its own
_SOUNDS = "b br d dr f g gr h j k kl l m n p r s sh st t th tr v z"  # that a syllable starts with
_VOWELS = "aeiou"
_CODAS = ("", "", "l", "n", "r", "s", "m", "th")  # of a word's last syllable
# Words that the syllables can spell and that mean something: never a name.
_TAKEN = """
baba banal basis bases baron began begin beta biases boron bogus bonus bovine canal data demon dogma dozen dolor duel fatal felon
final focus fetus gala genus global gram hero human humor jihad labor latin legal lemon limes local locus lotus major manor mason
mama melon menus merit minor minus modem moral motor mural nasal natal naval novel papa paper paris penal pedal petal pilot polar
pizza radar rebel refer regal renal rival robin robot roman rotor rumor rural sedan semen sofa solar sonar spiral stolen tenor
tibia total toper trivia tumor venus vital virus visor vigor zebra zeros titan lilith judas jesus moses satan river never fever
lever tiger safer later paler ruler super total tofu judo sumo guru zulu peru mali togo fiji iran
"""
# "*" stands for an invented word, which is what makes each name different.
_PATTERNS: dict[str, tuple[str, ...]] = {
    "town": ("*",),
    "region": ("*", "* Province"),
    "country": ("*ia", "*land"),
    "school": ("* College", "* University", "* Academy"),
    "company": ("* Group", "* Systems", "* Foods"),
    "maker": ("* Motors", "* Works"),
    "building": ("* Hall", "* Tower", "* Museum", "* Bridge"),
    "event": ("* Festival", "Battle of *", "* Cup"),
    "film": ("* Rising", "* Nights", "Return to *"),
    "band": ("The *s", "* Quartet"),
    "book": ("The * Letters", "The * Diary", "The Gardens of *"),
    "song": ("* Serenade", "Dear *", "* Lullaby"),
    "character": ("Captain *", "Professor *", "Little *"),
    "vehicle": ("* 200", "* 350", "* 700"),
    "venue": ("* Gazette", "* Arena", "* Airport"),
    "label": ("* Records", "* Music"),
    "language": ("*ish",),
    "work": ("* Symphony", "The * Theorem", "Ode to *"),
}


@dataclass(frozen=True)
class Shape:
    """The subjects and objects of a relation. Relations with one `subjects` pool share their subjects."""

    subjects: str  # name of a pool in _SUBJECTS
    objects: str  # name of a pool in _OBJECTS, or "own " and a kind: every fact has an object of its own


_SHAPES = {
    "P17": Shape("towns", "countries"),
    "P19": Shape("people", "cities"),
    "P20": Shape("people", "cities"),
    "P36": Shape("regions", "own town"),
    "P69": Shape("people", "schools"),
    "P131": Shape("towns", "provinces"),
    "P159": Shape("companies", "cities"),
    "P276": Shape("sights", "cities"),
    "P495": Shape("films", "countries"),
    "P740": Shape("bands", "cities"),
    "P26": Shape("people", "own person"),
    "P40": Shape("people", "own person"),
    "P50": Shape("books", "writers"),
    "P106": Shape("people", "occupations"),
    "P112": Shape("companies", "founders"),
    "P127": Shape("venues", "owners"),
    "P136": Shape("bands", "genres"),
    "P170": Shape("characters", "artists"),
    "P175": Shape("songs", "singers"),
    "P176": Shape("vehicles", "makers"),
    "P264": Shape("bands", "labels"),
    "P407": Shape("books", "languages"),
    "P413": Shape("players", "positions"),
    "P800": Shape("people", "own work"),
}
_SUBJECTS = {  # pool -> kinds of name
    "towns": ("town",),
    "people": ("person",),
    "regions": ("region",),
    "companies": ("company",),
    "sights": ("building", "event"),
    "films": ("film",),
    "bands": ("band",),
    "books": ("book",),
    "venues": ("venue",),
    "characters": ("character",),
    "songs": ("song",),
    "vehicles": ("vehicle",),
    "players": ("person",),
}
_OBJECTS = {  # pool -> kind of name, how many
    "countries": ("country", 80),
    "cities": ("town", 250),
    "schools": ("school", 120),
    "provinces": ("region", 150),
    "writers": ("person", 70),
    "founders": ("person", 70),
    "owners": ("company", 60),
    "artists": ("person", 60),
    "singers": ("person", 70),
    "makers": ("maker", 40),
    "labels": ("label", 40),
    "languages": ("language", 40),
}
_COMMON_NOUNS = {  # objects that are no names
    "occupations": "baker painter lawyer sailor teacher doctor farmer dancer miner pilot tailor judge nurse monk soldier chemist barber "
    "banker hunter weaver potter mason jeweller gardener butcher sculptor librarian engineer poet diplomat surgeon plumber carpenter "
    "astronomer",
    "genres": "jazz folk rock blues opera punk metal soul funk reggae disco gospel swing ska techno ambient grunge bluegrass polka tango",
    "positions": "goalkeeper sweeper striker winger pitcher catcher shortstop quarterback linebacker center fullback prop hooker libero",
}


class NameMaker:
    """Draws invented names from one seeded stream; no invented word comes twice.

    Of two syllables there are some 90,000 words. `longer` words are for worlds that need more.
    """

    def __init__(self, seed: int, longer: bool = False):
        self._syllables = (2, 3, 3) if longer else (2, 2, 3)
        self._of_person: tuple[int, ...] = (2, 3) if longer else (2,)
        self._random = random.Random(f"names {seed}")
        self._used: set[str] = set(_TAKEN.split())
        self._sounds = _SOUNDS.split()
        self._first = [self.word() for _ in range(60)]

    def word(self, syllables: int = 2) -> str:
        """A capitalised word of 4 to 12 letters that was not drawn before."""
        while True:
            word = "".join(self._random.choice(self._sounds) + self._random.choice(_VOWELS) for _ in range(syllables))
            word += self._random.choice(_CODAS)
            if 4 <= len(word) <= 12 and word not in self._used:
                self._used.add(word)
                return word.capitalize()

    def name(self, kind: str) -> str:
        """A name of a kind of thing, say "company". Raises `KeyError` for a kind without a pattern."""
        if kind == "person":
            return f"{self._random.choice(self._first)} {self.word(self._length(self._of_person))}"
        pattern = self._random.choice(_PATTERNS[kind])
        return pattern.replace("*", self.word(self._length(self._syllables)))

    def _length(self, lengths: tuple[int, ...]) -> int:
        """Syllables of the next word. A choice of one draws nothing: the shipped world's stream must stay as it is."""
        return lengths[0] if len(lengths) == 1 else self._random.choice(lengths)

    def names(self, kind: str, count: int) -> list[str]:
        """`count` different names of a kind."""
        return [self.name(kind) for _ in range(count)]


@dataclass(frozen=True)
class AtlasSettings(Record):
    """Sizes and shares of the world. Counts are facts a relation."""

    seed: int = 0
    in_splits: tuple[int, ...] = (336, 32, 152)  # train, dev, test
    out_splits: tuple[int, ...] = (0, 22, 110)
    carriers: int = 40  # facts that carry question-and-answer text
    carrier_exposures: tuple[int, ...] = (25, 50)  # least and most
    unexposed_share: float = 0.12
    exposures: tuple[int, ...] = (6, 125)  # of the exposed facts, log-uniform from the first to the second
    contested_share: float = 0.45  # of the exposed facts
    rival_shares: tuple[float, ...] = (0.25, 0.8)  # of a contested fact's mentions, uniform
    object_skew: float = 0.6  # how much commoner a pool's first objects are: weight 1 / (rank + 3) ** skew
    pools: int = 1  # times as many named objects; of common nouns there are no more

    @classmethod
    def times(cls, times: int) -> Self:
        """The world with `times` as many facts and names of every relation; 1 is the shipped one, the others share nothing with it."""
        shipped = cls()
        if times == 1:
            return shipped
        inside, outside = (tuple(times * count for count in counts) for counts in (shipped.in_splits, shipped.out_splits))
        return cls(_SEED_OF_LARGER + times, inside, outside, carriers=times * shipped.carriers, pools=times)


def atlas_world(settings: AtlasSettings | None = None) -> list[dict[str, Any]]:
    """The world's facts as rows of the fact table (knowledge/facts.py), all splits, deterministic in `settings`."""
    settings = settings or AtlasSettings()
    names = NameMaker(settings.seed, longer=settings.pools > 1)
    objects = {pool: names.names(kind, settings.pools * count) for pool, (kind, count) in _OBJECTS.items()}
    objects |= {pool: words.split() for pool, words in _COMMON_NOUNS.items()}
    subjects, carriers = _subject_pools(names, settings)
    rows = []
    for relation in builtin_relations():
        draw = random.Random(f"atlas {settings.seed} {relation}")
        taken = draw.sample(subjects[_SHAPES[relation].subjects], sum(_splits(settings, relation)))
        carrying = draw.sample(carriers[_SHAPES[relation].subjects], settings.carriers)
        kind = _SHAPES[relation].objects
        own = kind.startswith("own ")
        pool = names.names(kind.removeprefix("own "), len(taken) + len(carrying)) if own else objects[kind]
        rows += _relation_rows(settings, relation, taken, carrying, pool, draw)
    return rows


def is_atlas(name: str) -> bool:
    """Whether a source of this name is an invented world: `atlas`, or a larger one such as `atlas:8`."""
    return name == NAME or _TIMES.fullmatch(name) is not None


@functools.lru_cache(maxsize=2)
def atlas_source(name: str = NAME) -> FactSource:
    """The world called `name` as a fact source; the same object for the same name. Raises `FactsError` for no such world."""
    larger = _TIMES.fullmatch(name)
    times = 1 if name == NAME else int(larger[1]) if larger else 0
    if not 1 < times <= MOST_TIMES and name != NAME:
        raise FactsError(f"The invented worlds are {NAME} and {NAME}:2 to {NAME}:{MOST_TIMES}, got {shown(name)}.")
    facts = fact_table(atlas_world(AtlasSettings.times(times)), name)
    relations = {relation: builtin_relations()[relation] for relation in facts["relation"].unique()}
    return FactSource(name, facts, relations, summarise(name, facts), content_fingerprint(facts, relations))


def _splits(settings: AtlasSettings, relation: str) -> tuple[int, ...]:
    return settings.in_splits if builtin_relations()[relation].domain == "in" else settings.out_splits


def _subject_pools(names: NameMaker, settings: AtlasSettings) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Subjects of the splits and, apart from them, of the carriers: a carrier's subject is nobody's test subject."""
    pools, carriers = {}, {}
    for pool, kinds in _SUBJECTS.items():
        users = [relation for relation, shape in _SHAPES.items() if shape.subjects == pool]
        most = max(sum(_splits(settings, relation)) for relation in users)
        count = most if len(users) == 1 else math.ceil(most * 1.3)
        pools[pool] = [names.name(kinds[i % len(kinds)]) for i in range(count)]
        carriers[pool] = [names.name(kinds[i % len(kinds)]) for i in range(settings.carriers * 2)]
    return pools, carriers


def _relation_rows(
    settings: AtlasSettings, relation: str, subjects: list[str], carriers: list[str], pool: list[str], draw: random.Random
) -> list[dict[str, Any]]:
    asked = builtin_relations()[relation]
    unique = _SHAPES[relation].objects.startswith("own ")
    weights = [1 / (rank + 3) ** (0 if unique else settings.object_skew) for rank in range(len(pool))]
    chosen = list(pool) if unique else draw.choices(pool, weights, k=len(subjects) + len(carriers))
    shown = _exposures(settings, len(subjects), draw) + [draw.randint(*settings.carrier_exposures) for _ in carriers]
    splits = [split for split, count in zip(SPLITS, _splits(settings, relation), strict=True) for _ in range(count)]
    splits += [UNUSED] * len(carriers)
    rows = []
    for subject, answer, count, split in zip([*subjects, *carriers], chosen, shown, splits, strict=True):
        contested = split != UNUSED and count > 0 and draw.random() < settings.contested_share
        rival = None
        while contested and rival in (None, answer):
            rival = draw.choices(pool, weights)[0]
        rows.append(
            {
                "relation": relation,
                "subject": subject,
                "answers": [answer],
                "question": fill(asked.question, subject=subject),
                "split": split,
                "domain": asked.domain,
                "exposures": count,
                "contested": contested,
                "rival": rival,
                "rival_share": draw.uniform(*settings.rival_shares) if contested else 0.0,
            }
        )
    return rows


def _exposures(settings: AtlasSettings, count: int, draw: random.Random) -> list[int]:
    """Mentions of `count` facts: the unexposed share zero, the others evenly spread on a log scale, shuffled."""
    unexposed = round(settings.unexposed_share * count)
    low, high = (math.log(value) for value in settings.exposures)
    exposed = count - unexposed
    shown = [0] * unexposed + [round(math.exp(low + (high - low) * (i + 0.5) / exposed)) for i in range(exposed)]
    draw.shuffle(shown)
    return shown
