"""Names that nobody has: syllables put together by a seed, each invented word used once in a world."""

from __future__ import annotations

import random

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
