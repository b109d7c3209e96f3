"""Keeps a model busy with many texts: rows split, finished ones leave, and new prompts enter in their place.

A row holds the tokens drawn after a prompt so far. Rows of one prompt share its keys and values, and those of the tokens that
they have in common: nothing is copied when a row splits. A slot is free again when no row sees it any more.

`packs` tells whether packed reading gives a model's own numbers: it compares them once.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar
from weakref import WeakKeyDictionary

import numpy as np
import torch

from sftqa_core.engine import drawing, packed
from sftqa_core.errors import OutOfMemory
from sftqa_core.models.loading import LoadedModel

T = TypeVar("T")
Read = tuple[np.ndarray, torch.Tensor]  # rows (ascending indexes), and the logits after each [rows, vocabulary]


@dataclass(frozen=True)
class UnderWay:
    """What is done of the prompts that are in progress after a pass."""

    completions: int = 0  # at their end
    prompts: float = 0.0  # all that is done of them, in whole prompts


Watch = Callable[[UnderWay], None]  # called after every pass, before its results are handed over; may raise `Stopped`


@dataclass(frozen=True)
class Load:
    """How many prompts are in progress together. No result depends on it."""

    places: int  # prompts in progress at most
    enter: int  # prompts that enter together, about
    enough: int  # tokens of a pass: while there are so many, nothing enters

    @classmethod
    def of(cls, places: int, enough: int) -> "Load":
        """New prompts enter a quarter at a time, so that passes hold rows of every age and are alike."""
        return cls(places, max(1, places // 4), enough)


class Decoder(Generic[T]):
    """The loop that all uses share. A subclass defines an item's texts and what its logits mean.

    `place`, `depth`, `drawn` and `sees` have one entry a row; rows stand in the order of their places. A text has at most `rows` rows.
    """

    rows = 1

    def __init__(self, model: packed.PackedModel, load: Load, max_new_tokens: int, hint: str):
        self.model, self.load, self.max_new_tokens, self.hint = model, load, max_new_tokens, hint
        self.begin()

    def begin(self) -> None:
        """Forget everything that is in progress."""
        self.items: dict[int, T] = {}  # in progress: first place -> item
        self.places_of: dict[int, np.ndarray] = {}  # first place -> places
        self.keys = packed.KeyValues(self.load.places, self.rows * self.max_new_tokens)
        self.place, self.depth = np.empty((2, 0), dtype=np.int64)
        self.drawn = np.empty((0, self.max_new_tokens), dtype=np.int64)
        self.sees = np.empty((0, 0), dtype=bool)  # [rows, slots]
        self._length = np.zeros(self.load.places, dtype=np.int64)  # tokens of the prompt at each place
        self._key_positions = np.zeros((self.load.places, 0), dtype=np.int64)  # [places, slots]

    # --- for subclasses --------------------------------------------------------------------------------------

    def texts(self, item: T) -> Sequence[Sequence[int]]:
        """The token ids that an item has to be read with, one text a place."""
        raise NotImplementedError

    def entered(self, items: list[tuple[T, np.ndarray]]) -> None:
        """Called when the texts of these items, in the order of `texts`, have their places, and a row each."""

    def moved(self, position: np.ndarray) -> None:
        """Called when rows have moved: `position` [rows before] holds their new indexes. New rows have depth 0."""

    def ready(self) -> np.ndarray:
        """Rows that may go on (ascending indexes)."""
        return np.arange(len(self.place))

    def advance(self, reads: list[Read]) -> list[Any]:
        """Draw the next tokens (`split`), remove rows (`keep`), `finish` items; returns results."""
        raise NotImplementedError

    def wanted(self, tree: packed.PrefixTree, places: np.ndarray) -> np.ndarray:
        """Nodes after which logits are needed, of entering texts at these places."""
        return tree.paths[np.arange(len(tree.lengths)), tree.lengths - 1]

    def under_way(self) -> UnderWay:
        """What is done of the items in progress; for a subclass with one row a prompt."""
        return UnderWay(0, float(self.depth.sum()) / max(self.max_new_tokens, 1))

    def split(self, parents: np.ndarray, tokens: np.ndarray) -> None:
        """Replace the rows by children of them: one token more each, or the row itself for a token of -1. Parents must be ascending."""
        self.place, self.depth = self.place[parents], self.depth[parents]
        self.drawn, self.sees = self.drawn[parents], self.sees[parents]
        grown = np.flatnonzero(tokens >= 0)
        self.drawn[grown, self.depth[grown]] = tokens[grown]
        self.depth[grown] += 1

    def keep(self, rows: np.ndarray) -> None:
        """Only these rows (ascending indexes) go on."""
        self.place, self.depth, self.drawn, self.sees = (a[rows] for a in (self.place, self.depth, self.drawn, self.sees))

    def finish(self, first_place: int) -> None:
        """Remove the item at this place, whose rows are gone."""
        del self.items[first_place], self.places_of[first_place]

    # --- the loop --------------------------------------------------------------------------------------------

    def run(self, items: Iterable[T], watch: Watch | None = None) -> Iterator[list[Any]]:
        """Results of all items, some at a time; items are drawn from the iterable as needed and enter in their order.

        When the memory is full, the items in progress begin again, half as many at a time. Raises `OutOfMemory` when there is no
        room for a single item.
        """
        source, again = iter(items), deque[T]()
        while True:
            new = self._next(again, source)
            if not new and not self.items:
                return
            try:
                results, full = self._step(new), None
            except (RuntimeError, MemoryError) as error:
                if not drawing.is_out_of_memory(error):
                    raise
                results, full = [], error.with_traceback(None)  # the traceback would keep the failed pass's tensors alive
            if full is not None:
                self._begin_again(again, new, full)
            if watch:
                watch(self.under_way())
            if results:
                yield results

    def _next(self, again: deque[T], source: Iterator[T]) -> list[T]:
        """Items that enter now."""
        due = len(self.ready())
        room = self.load.places - sum(map(len, self.places_of.values()))
        if self.items and (due >= self.load.enough or room < self.load.enter):
            return []
        entering: list[T] = []
        left = min(self.load.enter, room)
        while left > 0 and (item := again.popleft() if again else next(source, None)) is not None:
            size = len(self.texts(item))
            if size > left and (entering or self.items):
                again.appendleft(item)
                break
            if size > self.load.places:
                self.load = replace(self.load, places=size)
                self.begin()
            entering.append(item)
            left -= size
        return entering

    def _step(self, new: list[T]) -> list[Any]:
        """One pass: new items enter, and the newest token of every row that is ready is read."""
        entering = self._enter(new) if new else None
        due = self.ready()
        due = due[self.depth[due] > 0]
        segments: list[tuple[np.ndarray, packed.Segment]] = [(np.flatnonzero(self.depth == 0), entering)] if entering else []
        segments += [(due, self._due(due))] if len(due) else []
        rows, read = zip(*segments, strict=True)
        return self.advance(list(zip(rows, self.model.read(read), strict=True)))

    def _begin_again(self, again: deque[T], new: list[T], full: BaseException) -> None:
        unfinished = list(self.items.values())
        unfinished += [item for item in new if not any(item is other for other in unfinished)]
        sizes = [len(self.texts(item)) for item in unfinished]
        if len(unfinished) == 1 and self.load.places <= sizes[0]:
            raise OutOfMemory(f"The device has no room for a batch of one. {self.hint}") from full
        again.extendleft(reversed(unfinished))
        self.load = Load.of(max(sum(sizes) // 2, *sizes), self.load.enough)
        self.begin()
        drawing.empty_cache()

    def _enter(self, new: list[T]) -> packed.Texts:
        texts = sorted((tuple(text), number, at) for number, item in enumerate(new) for at, text in enumerate(self.texts(item)))
        free = np.ones(self.keys.places, dtype=bool)
        for taken in self.places_of.values():
            free[taken] = False
        places = np.flatnonzero(free)[: len(texts)]
        tree = packed.PrefixTree.of([ids for ids, _, _ in texts])
        where: list[dict[int, int]] = [{} for _ in new]
        for place, (_, number, at) in zip(places, texts, strict=True):
            where[number][at] = int(place)
        self._length[places] = tree.lengths
        longest = int(tree.lengths.max())
        self._widen(longest)
        self._key_positions[places, :longest] = np.arange(longest)
        rows = len(self.place)
        self.place = np.concatenate([self.place, places])
        self.depth = np.concatenate([self.depth, np.zeros(len(places), dtype=np.int64)])
        self.drawn = np.concatenate([self.drawn, np.zeros((len(places), self.max_new_tokens), dtype=np.int64)])
        self.sees = np.concatenate([self.sees, np.arange(self.sees.shape[1]) < tree.lengths[:, None]])
        order = np.argsort(self.place, kind="stable")
        self.keep(order)
        position = np.empty_like(order)
        position[order] = np.arange(len(order))
        self.moved(position[:rows])
        placed = [(item, np.array([place_of[at] for at in range(len(place_of))])) for item, place_of in zip(new, where, strict=True)]
        for item, of_item in placed:
            self.items[int(of_item[0])], self.places_of[int(of_item[0])] = item, of_item
        self.entered(placed)
        return packed.Texts(self.keys, tree, places, self.wanted(tree, places))

    def _widen(self, slots: int) -> None:
        more = max(0, slots - self.sees.shape[1])
        self.sees, self._key_positions = (np.pad(a, ((0, 0), (0, more))) for a in (self.sees, self._key_positions))

    def _due(self, rows: np.ndarray) -> packed.NextTokens:
        """The newest tokens of these rows."""
        places = self.place[rows]
        slots = self._free_slots(places)
        self.sees[rows, slots] = True
        positions = self._length[places] + self.depth[rows] - 1
        self._key_positions[places, slots] = positions
        sees, tokens = self.sees[rows], self.drawn[rows, self.depth[rows] - 1]
        width = int(np.flatnonzero(sees.any(axis=0))[-1]) + 1
        return packed.NextTokens(self.keys, tokens, positions, places, slots, sees[:, :width], self._key_positions[places, :width])

    def _free_slots(self, places: np.ndarray) -> np.ndarray:
        """A slot for each due row, of these places, that no row of its prompt sees."""
        busy, line = np.unique(places, return_inverse=True)
        column = np.arange(len(places)) - np.searchsorted(places, places)
        all_lines = np.searchsorted(busy, self.place)
        here = np.flatnonzero(busy[np.minimum(all_lines, len(busy) - 1)] == self.place)  # rows of busy places, due or not
        starts = np.flatnonzero(np.diff(self.place[here], prepend=-1))
        used = np.logical_or.reduceat(self.sees[here], starts, axis=0)
        lacking = int((column + 1 - (~used).sum(axis=1)[line]).max())
        if lacking > 0:
            used = np.pad(used, ((0, 0), (0, lacking)))
            self._widen(used.shape[1])
        return np.argsort(used, axis=1, kind="stable")[line, column]


# --- which models can be read like this ------------------------------------------------------------------------

_TEXTS = ((3, 14, 15, 9, 2, 6, 5, 35, 8), (3, 14, 15, 9, 2, 71))  # token ids that begin alike, sorted
_NEXT = ((97, 93), (27, 18))  # two tokens more for each
_KNOWN_LAYERS = {"full_attention", "sliding_attention"}
_SHARE = {torch.float32: 1e-3, torch.float64: 1e-3}  # of the logits' range that a difference may have; others round more
_ROUNDED = 5e-2
_checked: WeakKeyDictionary[torch.nn.Module, bool] = WeakKeyDictionary()


def packs(loaded: LoadedModel) -> bool:
    """Whether `PackedModel` can replace the model: it gives the same logits for two texts with a shared beginning and two steps more.

    False for models without attention or with kinds of it that this program does not know, and for those that keep to
    their own attention. Costs three short passes, the first time.
    """
    model = loaded.model
    if model not in _checked:
        kinds = getattr(model.config.get_text_config(), "layer_types", None) or ()
        _checked[model] = set(kinds) <= _KNOWN_LAYERS and model._can_set_attn_implementation() and _agrees(loaded)
    return _checked[model]


def _agrees(loaded: LoadedModel) -> bool:
    known = np.arange(128) % loaded.model.get_input_embeddings().weight.shape[0]  # the ids within a small vocabulary, still different
    trial = _Trial(packed.PackedModel(loaded), known)
    try:
        logits = dict(row for rows in trial.run(range(len(_TEXTS))) for row in rows)
    except OutOfMemory:
        raise
    except Exception:  # a family that can't be read packed may fail in any way
        return False
    together = torch.stack([logits[step, text] for step in (1, 2) for text in range(len(_TEXTS))])
    plain = _plain_logits(loaded, known)
    if not bool(torch.isfinite(plain).all()):
        return True  # a damaged model: either way of reading reports it
    allowed = _SHARE.get(loaded.model.dtype, _ROUNDED) * float(plain.max() - plain.min())
    config = loaded.model.config.get_text_config()  # the trial's texts are too short to show whether a sliding window was kept to
    windowed = getattr(config, "sliding_window", None) and getattr(config, "use_sliding_window", True)
    return float((together - plain).abs().max()) <= allowed and (not windowed or bool(trial.model.windows))


class _Trial(Decoder[int]):
    """Reads the texts together and then the tokens that are to follow."""

    def __init__(self, model: packed.PackedModel, known: np.ndarray):
        self.known = known
        super().__init__(model, Load(2, 2, 1), 3, "Choose a smaller model, or device cpu.")

    def texts(self, item: int) -> list[list[int]]:
        """See `Decoder`."""
        return [self.known[list(_TEXTS[item])].tolist()]

    def advance(self, reads: list[Read]) -> list[tuple[tuple[int, int], torch.Tensor]]:
        """((tokens that followed, text), logits) of both."""
        ((_, logits),) = reads
        step, texts = int(self.depth[0]), [self.items[place] for place in self.place.tolist()]
        if step < 2:
            self.split(np.arange(2), self.known[[_NEXT[text][step] for text in texts]])
        else:
            for place in self.place.tolist():
                self.finish(place)
            self.keep(np.empty(0, dtype=np.int64))
        return [((step, text), line.float()) for text, line in zip(texts, logits, strict=True)]


@torch.no_grad()
def _plain_logits(loaded: LoadedModel, known: np.ndarray) -> torch.Tensor:
    """The same from plain forward passes, a text at a time."""
    logits = []
    for steps in (1, 2):
        for text, more in zip(_TEXTS, _NEXT, strict=True):
            ids = torch.from_numpy(known[[*text, *more[:steps]]])[None].to(loaded.model.device)
            logits.append(loaded.model(input_ids=ids, use_cache=False).logits[0, -1].float())
    return torch.stack(logits)
