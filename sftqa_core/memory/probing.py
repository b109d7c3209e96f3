"""The probe: facts x templates x samples -> completions -> levels, never doing twice what is done."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict

import pandas as pd

from sftqa_core.engine import capacity, decoder, drawing, products
from sftqa_core.engine.sampling import Sampler, fact_prompts, make_sampler
from sftqa_core.engine.server_answers import ServerSampler, chance
from sftqa_core.engine.wanted_facts import WantedFact
from sftqa_core.errors import SettingsError
from sftqa_core.jsonrecord import declared
from sftqa_core.knowledge.aliases import Aliases, load_aliases
from sftqa_core.knowledge.facts import FactSource
from sftqa_core.knowledge.matching import left_out, wanted_form
from sftqa_core.memory import estimating, stored_levels
from sftqa_core.memory.probe_stores import CompletionStore, EstimateStore, estimated_levels, store_for
from sftqa_core.models import catalogue, devices
from sftqa_core.models.loading import LoadedModel
from sftqa_core.models.serving.served_models import AnyModel, ServedModel
from sftqa_core.models.serving.server_trial import require_faithful
from sftqa_core.progress import Counted, Phase, Reporter, Silent
from sftqa_core.records import ProbeSettings
from sftqa_core.workspace import Workspace

# model size in parameters -> facts kept together: more take less room on disk, fewer are lost when the process dies
_PART_FACTS = ((20_000_000, 128), (500_000_000, 64), (1 << 62, 16))
_SERVED_PART = 16  # facts of a served model, which may be large and can go away at any time
_PART_S = 120  # and no finished fact waits longer, as a slow model may take an hour for a part
_BLOCK = 1200  # facts of few-shot prompts whose relations are brought together
_GENERATE_SHARE = 16  # of the prompts that fit the memory with shared keys, one has room when each sample is a row of its own


def probe_facts(
    loaded: AnyModel,
    source: FactSource,
    facts: pd.DataFrame,
    settings: ProbeSettings,
    aliases: Aliases | None = None,
    workspace: Workspace | None = None,
    reporter: Reporter | None = None,
    sampler: Sampler | None = None,
    store: CompletionStore | EstimateStore | None = None,
) -> pd.DataFrame:
    """LEVELS of every row of `facts` (a fact table of `source`), in order; what was not probed before is probed now.

    Completed facts are kept part by part, and also when the work is stopped (`Stopped`, Ctrl-C) or fails. `sampler`
    replaces the one that the settings name (tests); `store` is this model's, if the caller has it open. Raises
    `SettingsError` (before anything is sampled, when a prompt is too long), `OutOfMemory`, `ModelUnavailable`.
    """
    workspace, reporter = workspace or Workspace.current(), reporter or Silent()
    scheme = settings.scheme
    asked = stored_levels.AskedFacts(source, facts, settings, aliases or load_aliases(workspace))
    wanted, store = asked.wanted(), store or store_for(loaded.fingerprint.to_dict(), scheme, workspace)
    store.mend()
    with drawing.naming(loaded):
        if isinstance(store, CompletionStore):
            # judging reads every part that is needed, so a damaged one shows now and its facts are probed
            judged = facts["fact_id"][stored_levels.known_hits(store, asked, keep=True).there]
            if pending := _pending(wanted, set(judged), reporter):
                _tell_products(loaded, reporter)
                _sample(loaded, store, pending, settings, reporter, sampler)
            return stored_levels.level_rows(stored_levels.known_hits(store, asked, keep=True), loaded.card)
        if pending := _pending(wanted, set(store.rows(wanted)["fact_id"]), reporter):
            _tell_products(loaded, reporter)
            _estimate(loaded, store, pending, settings, reporter)
        return estimated_levels(store.rows(wanted), wanted, scheme, catalogue.seen_templates(loaded.card))


def _sample(
    loaded: AnyModel,
    store: CompletionStore,
    pending: list[WantedFact],
    settings: ProbeSettings,
    reporter: Reporter,
    sampler: Sampler | None,
) -> None:
    """Draw the completions of facts that have none."""
    if settings.scheme.few_shot:
        # Facts of one relation side by side, since they share what stands before their questions; block by block, so that a probe
        # that is stopped has facts of every relation
        blocks = [pending[start : start + _BLOCK] for start in range(0, len(pending), _BLOCK)]
        pending = [fact for block in blocks for fact in sorted(block, key=lambda fact: fact.relation.id)]
    batch_size, pace = _batch_size(loaded, pending, settings), _Pace(pending, reporter)
    sampling = settings.scheme.sampling
    if isinstance(loaded, ServedModel):
        require_faithful(loaded, sampling, reporter)
        sampler = sampler or ServerSampler(loaded)
    elif not sampler:
        if sampling.sampler == "shared" and not decoder.packs(loaded):
            reporter.log(
                f"{loaded.card.name} can't be read in packed form: it is sampled by generate, which takes about ten times as long."
            )
            batch_size = max(1, batch_size // _GENERATE_SHARE)
        sampler = make_sampler(sampling.sampler, loaded, batch_size, pace.watch)
    kept = _Unwritten(pending, loaded, lambda rows, whole: store.add(pd.DataFrame([asdict(row) for row in rows]), whole))
    with kept:
        for batch in sampler.sample((prompt for fact in fact_prompts(loaded, pending) for prompt in fact), sampling):
            prompts = {(row.fact_id, row.template) for row in batch if row.template >= 0}
            kept.take(batch, prompts)
            pace.advance(len(prompts), sum(row.count for row in batch))


def _estimate(loaded: AnyModel, store: EstimateStore, pending: list[WantedFact], settings: ProbeSettings, reporter: Reporter) -> None:
    """Estimate what is not known, adaptively or by likelihood."""
    scheme = settings.scheme
    if isinstance(loaded, LoadedModel) and not decoder.packs(loaded):
        raise SettingsError(
            f"{loaded.card.name} can't be read in packed form, so the method {scheme.method!r} can't be used. Choose 'sampling'."
        )
    batch_size = _batch_size(loaded, pending, settings)
    kept, pace = _Unwritten(pending, loaded, store.add), _Pace(pending, reporter)
    with kept:
        found: Iterator[tuple[list, set[tuple[str, int]]]]
        if scheme.method == "adaptive" and isinstance(loaded, LoadedModel):
            found = _decide(loaded, pending, settings, batch_size, reporter, pace)
        else:
            found = _look_up(loaded, pending, settings, batch_size, reporter, pace)
        for rows, prompts in found:
            kept.take(rows, prompts)
            pace.advance(len(prompts), sum(row.seen * len(row.hits) for row in rows if isinstance(row, estimating.Decided)))


def _decide(
    loaded: LoadedModel, pending: list[WantedFact], settings: ProbeSettings, batch_size: int, reporter: Reporter, pace: "_Pace"
) -> Iterator[tuple[list[estimating.Decided], set[tuple[str, int]]]]:
    probe, counted, of = estimating.AdaptiveProbe(loaded, batch_size, pace.watch), 0, 0
    for decided in probe.decide(fact_prompts(loaded, pending), settings.scheme):
        counted += sum(fact.seen * len(fact.hits) for fact in decided)
        of += sum(settings.scheme.sampling.samples * len(fact.hits) for fact in decided)
        yield decided, {(fact.fact_id, template) for fact in decided for template in range(len(fact.hits))}
    reporter.log(
        f"Levels were clear after {counted:,} of {of:,} completions ({counted / of:.0%}); {probe.model.tokens:,} tokens read forward."
    )


def _look_up(
    loaded: AnyModel, pending: list[WantedFact], settings: ProbeSettings, batch_size: int, reporter: Reporter, pace: "_Pace"
) -> Iterator[tuple[list[tuple[str, int, float]], set[tuple[str, int]]]]:
    answers = _answers(loaded, pending)
    blank = [(w.fact_id, template, 0.0) for w in pending if not answers[w.fact_id] for template in range(len(w.relation.templates))]
    yield blank, {(fact_id, template) for fact_id, template, _ in blank}
    asked = [w for w in pending if answers[w.fact_id]]
    questions = (
        estimating.Question(p.fact_id, p.template, p.ids, answers[p.fact_id]) for fact in fact_prompts(loaded, asked) for p in fact
    )
    if isinstance(loaded, ServedModel):
        served = loaded  # one name that stays what it is inside the function below
        found = served.client.side_by_side(lambda q: [(q.fact_id, q.template, chance(served, q.ids, q.answers))], questions)
        yield from ((rows, {(fact_id, template) for fact_id, template, _ in rows}) for rows in found)
        return
    estimate = estimating.Likelihood(loaded, batch_size)
    for rows in estimate.estimate(questions, settings.scheme.sampling.temperature):
        yield rows, {(fact_id, template) for fact_id, template, _ in rows}
    reporter.log(f"Estimated without a completion; {estimate.model.tokens:,} tokens read forward.")


def _tell_products(loaded: AnyModel, reporter: Reporter) -> None:
    """Which kernel computes is part of a result's history: another one rounds otherwise, which near-ties can show."""
    if said := products.said(loaded):
        reporter.log(f"{said['packed_layers']} layers are read with weights packed by {said['packed_by']}, measured to be faster here.")


def _pending(wanted: Sequence[WantedFact], done: set[str], reporter: Reporter) -> list[WantedFact]:
    pending = list({w.fact_id: w for w in wanted if w.fact_id not in done}.values())
    reporter.log(f"{len(wanted) - len(pending)} of {len(wanted)} facts were probed before with these settings.")
    return pending


class _Pace:
    """Tells the person after every pass how far a probe is: facts, and the prompts and completions that they are made of.

    Prompts of a fact are spread over passes, so their share counts.
    """

    def __init__(self, pending: list[WantedFact], reporter: Reporter):
        self._facts, self._prompts = len(pending), sum(w.count for w in pending)
        self._phase = Phase(reporter, "probe", len(pending), "facts")
        self._through = self._completions = 0
        self._now = decoder.UnderWay()
        self._tell()  # the first pass of a large model takes a while, too

    def watch(self, now: decoder.UnderWay) -> None:
        """Prompts in progress have come so far."""
        before, self._now = self._now, now
        if now.completions >= before.completions:  # else some prompts are through, which `advance` is told next
            self._tell()

    def advance(self, prompts: int, completions: int) -> None:
        """So many more are through."""
        self._through, self._completions = self._through + prompts, self._completions + completions
        self._tell()

    def _tell(self) -> None:
        completions = self._completions + self._now.completions
        self._phase.reach(
            self._through * self._facts // self._prompts,
            (self._through + self._now.prompts) * self._facts / self._prompts,
            Counted(self._through, "prompts", self._prompts),
            *([Counted(completions, "completions")] if completions else []),
        )


class _Unwritten:
    """Results on their way to disk, whole facts together. Used as a context: what is whole is kept however the work ends."""

    def __init__(self, pending: list[WantedFact], loaded: AnyModel, keep: Callable[[list, list[WantedFact]], None]):
        self._facts = {w.fact_id: w for w in pending}
        self._left = {w.fact_id: w.count for w in pending}  # prompts of a fact still to come
        if isinstance(loaded, ServedModel):
            self._part = _SERVED_PART
        else:
            self._part = next(size for limit, size in _PART_FACTS if loaded.model.num_parameters() <= limit)
        self._keep = keep
        self._rows: dict[str, list] = defaultdict(list)
        self._whole: list[WantedFact] = []
        self._kept_s = time.monotonic()

    def take(self, rows: Iterable, prompts: set[tuple[str, int]]) -> None:
        """Rows (each of one fact) of these whole prompts."""
        for row in rows:
            self._rows[row[0] if isinstance(row, tuple) else row.fact_id].append(row)
        for fact_id, _ in prompts:
            self._left[fact_id] -= 1
            if not self._left[fact_id]:
                self._whole.append(self._facts[fact_id])
        while len(self._whole) >= self._part:
            self._write(self._part)
        if self._whole and time.monotonic() - self._kept_s > _PART_S:
            self._write(len(self._whole))

    def _write(self, count: int) -> None:
        whole, self._whole = self._whole[:count], self._whole[count:]
        self._keep([row for w in whole for row in self._rows.pop(w.fact_id)], whole)
        devices.return_freed_ram()
        self._kept_s = time.monotonic()

    def __enter__(self) -> "_Unwritten":
        return self

    def __exit__(self, *error: object) -> None:
        if self._whole:
            self._write(len(self._whole))


def _batch_size(loaded: AnyModel, pending: list[WantedFact], settings: ProbeSettings) -> int:
    """All facts before the first is sampled: hours may lie between the first and the one with a prompt too long."""
    longest = [max(len(prompt.ids) for prompt in fact) for fact in fact_prompts(loaded, pending)]
    sampling, lengths = settings.scheme.sampling, longest
    if settings.scheme.method == "likelihood":  # reads its answers, all but the last token
        answers = _answers(loaded, pending)
        lengths = [length + max(map(len, answers[w.fact_id]), default=1) - 1 for length, w in zip(longest, pending, strict=True)]
    texts = f"facts' {declared(type(settings.scheme))['prompts'].choices[settings.scheme.prompts]}"
    capacity.require_window(loaded, lengths, capacity.completion_tokens(settings.scheme), texts, [w.subject for w in pending])
    if isinstance(loaded, ServedModel):
        return loaded.client.room.most
    return settings.batch_size or capacity.at_once(loaded, max(lengths), sampling.draws, sampling.max_new_tokens)


def _answers(loaded: AnyModel, pending: Sequence[WantedFact]) -> dict[str, tuple[tuple[int, ...], ...]]:
    """fact id -> token ids of each of its answers, as they are given and without what the matching rule takes off."""
    forms = {w.fact_id: (*w.answers, *(wanted_form(answer) for answer in w.answers if left_out(answer))) for w in pending}
    return {fact_id: estimating.answer_ids(loaded.tokenizer, answers) for fact_id, answers in forms.items()}
