"""Preflight, the model's part: is it here or can it be had, under which licence, does its tokenizer fit, base or chat; how answers are
read behind their prompts, and whether the longest texts fit its context window.

The network is asked only for a model that is not on this machine (models/hub/fetch.py). Never loads torch.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sftqa_core.engine import capacity
from sftqa_core.errors import ModelUnavailable, SftqaError
from sftqa_core.knowledge import relations
from sftqa_core.knowledge.facts import FactSource
from sftqa_core.models import catalogue, lists, measured, model_files, quantising, tokenizer_files, tuned
from sftqa_core.models.chat_templates import Layout, chat_template, layout, require_chat_template
from sftqa_core.models.gguf import gguf_reading
from sftqa_core.models.gguf.gguf_models import GgufModel
from sftqa_core.models.hub.fetch import HubAnswer, ask_hub, has_token
from sftqa_core.models.serving.addresses import KIND as SERVER
from sftqa_core.models.serving.addresses import ServerName, require_allowed, server_name
from sftqa_core.models.serving.server_limits import refuse_on_server
from sftqa_core.planning import fit
from sftqa_core.records import Check, LevelScheme, ModelCard, ProbeSettings, TrainSettings

if TYPE_CHECKING:
    import pandas as pd

FREE_LICENCES = ("apache-2.0", "mit", "bsd-3-clause", "bsd-2-clause", "cc0-1.0", "unlicense", "isc")
CHAT_PROMPT = Check("prompt", "ok", "Each question is put in the model's chat template, which includes its beginning token.")
STATEMENTS = Check("prompt", "ok", "Statements end where the answer would follow, without a space.")
_LOGIN = "Accept its terms on its hub page, log in here with `hf auth login`, then try again."
_SHORTER = "Leave these facts out or shorten them, use a shorter prompt, or choose a model with a larger context window."
_BITS = {"none": "the device's number format", quantising.NF4: "4 bits (nf4)"}
_SAMPLE = 24  # facts whose answers are read


@dataclass(frozen=True)
class Looked:
    """One model, looked at without loading it."""

    name: str
    checks: tuple[Check, ...]
    card: ModelCard | None = None  # None where there is no such model
    words: Path | None = None  # the folder of its tokenizer; None where it is not on this machine
    config: dict[str, Any] = field(default_factory=dict)  # of the model, or of the one under an adapter
    hub: HubAnswer | None = None  # what the hub says of one that has to be fetched
    parameters: int | None = None  # of the model, or of the one under an adapter
    gguf: GgufModel | None = None  # of one that has to be read from GGUF first

    @property
    def later(self) -> str:
        """When what is not known of it yet will be known."""
        if self.card is not None and self.card.kind == SERVER:
            return "to this program, as its server does not tell"
        return "until the model is read from GGUF" if self.gguf else "until the model is downloaded"


def look_at(name: str, run: TrainSettings | ProbeSettings | None = None) -> Looked:
    """What is known of the model that a person means: model, licence, access, the tokenizer's points. With a `run`: for that work."""
    card = None
    try:
        card = catalogue.find_model(name)
        if (served := server_name(card.name)) is not None:
            return _on_a_server(card, served, run)
        base = catalogue.base_card(card)
        if isinstance(run, TrainSettings):
            quantising.refuse_second_adapter(card, run)
        whole = base or card
        measured.refuse_unread(whole)
        if whole.path is None and (gguf := gguf_reading.source_of(whole)) is not None:
            return _to_read(card, whole, gguf)
        if whole.path is None:
            return _on_the_hub(name, card, whole)
        folder, own = model_files.ModelFolder(Path(whole.path)), Path(card.path or whole.path)
        config = folder.config()
        folder.weights()
        adapter = model_files.ModelFolder(own) if base and card.path else None
        catalogue.refuse_other_base(card, base)
        plan = quantising.plan_for(folder, adapter, card.name, run.quantization if run else "none")
        told, config = plan.told(config), plan.config(config)
        words, first = catalogue.words_of(card, base), catalogue.made_from(whole)
    except SftqaError as error:
        return Looked(name, (Check.of_error("model", str(error), "Choose another model, or fetch this one again."),), card)
    here = [
        _here(card, config, told),
        *_rounded(whole),
        *_in_4_bits(card, run),
        _licence(first, None),
        Check("access", "ok", "Its files are on this machine; no login is needed."),
    ]
    return Looked(name, (*here, *tokenizer_files.tokenizer_checks(words, config)), card, words, config, parameters=whole.parameters)


def _on_a_server(card: ModelCard, served: ServerName, run: TrainSettings | ProbeSettings | None) -> Looked:
    """A served model, by what is remembered of it: looking asks nobody. Raises `SettingsError` for what can't be done with it."""
    require_allowed(served)
    if run is not None:
        refuse_on_server(card, run)
    about = card.details["served"]
    what = f"It is served at {served.place} ({about['server']})" if about.get("server") else f"It will be asked at {served.place}"
    model = Check("model", "ok", f"{what}; that it is there, and draws as it should, is looked at first.")
    sent = f"The server is sent token ids, by the tokenizer of {about['tokenizer']}." if about["tokenizer"] else ""
    words = Check("tokenizer", "ok", sent or "The server is sent texts: nobody has named its tokenizer.")
    samples = "Its samples are drawn with the server's own random numbers, and are kept apart from those of models on this machine."
    return Looked(card.name, (model, words, Check("samples", "note", samples, "Compare both with: sftqa trust --against MODEL.")), card)


def _here(card: ModelCard, config: dict[str, Any], told: str = "") -> Check:
    size = f", {card.parameters:,} parameters" if card.parameters else ""
    kinds = [str(kind) for kind in config.get("architectures") or ()]
    if kinds and not any(kind.endswith(("ForCausalLM", "LMHeadModel")) for kind in kinds):
        fix = "Choose one whose architecture ends in ForCausalLM, unless you know that this one generates text."
        return Check("model", "note", f"Its configuration names {kinds[0]}, which is not a causal language model.", fix)
    if config.get("auto_map"):
        said = "It refers to program code of its own (auto_map), which is never run. It loads only if transformers supports its type."
        return Check("model", "note", said, "Check that transformers supports this type, or choose another model.")
    return Check("model", "ok", f"{card.name} is on this machine with all its weights ({card.architecture}{size}). {told}".rstrip())


def _to_read(card: ModelCard, whole: ModelCard, gguf: GgufModel) -> Looked:
    """A GGUF model before its first use. Raises what reading it would raise."""
    gguf_reading.refuse_reading(gguf, whole.name)
    wanted = gguf_reading.need(gguf)
    said = (
        f"{whole.name} ({whole.architecture}, {gguf.parameters:,} parameters) is read from GGUF once, before the work: about "
        f"{fit.gigabytes(wanted.ram)} of RAM, {fit.gigabytes(wanted.disk)} on the disk."
    )
    access = Check("access", "ok", "Its files are on this machine; no login is needed.")
    later = Check("tokenizer", "unknown", "The tokenizer is unknown until the model is read from GGUF.", "It is checked then.")
    checks = (Check("model", "ok", said), *_rounded(whole), _licence(whole, None), access, later)
    return Looked(card.name, checks, card, config=gguf.config(), parameters=gguf.parameters, gguf=gguf)


def _rounded(card: ModelCard) -> list[Check]:
    """What quantisation a model was read from, and what can't be told from its file; nothing for other models."""
    read = card.details.get("gguf")
    if not card.quantisation or not isinstance(read, dict):
        return []
    points = [Check("quantisation", "ok", f"Its values are stored whole ({card.quantisation}).")]
    if read.get("rounded"):
        said = f"{card.quantisation}: its values are rounded to {read.get('bits', 0):.1f} bits on average."
        points = [Check("quantisation", "note", said, "Results are those of this file; the unquantised model may know more.")]
    doubts = [
        Check("tokenizer", "note", str(doubt), "Compare a few texts with the original tokenizer.") for doubt in read.get("doubts", ())
    ]
    return [*points, *doubts]


def _in_4_bits(card: ModelCard, run: TrainSettings | ProbeSettings | None) -> list[Check]:
    """An adapter that was tuned on weights in 4 bits, and is put on whole ones; nothing for other models."""
    kept = tuned.tuned_from(card)
    if kept is None or run is None or not kept.adapter or kept.quantization == run.quantization:
        return []
    said = f"It was tuned with base weights in {_BITS[kept.quantization]}, and is used with them in {_BITS[run.quantization]}."
    return [Check("quantisation", "note", f"{said} Some answers differ.", f"Choose quantization {kept.quantization} for its own answers.")]


def _on_the_hub(name: str, card: ModelCard, whole: ModelCard) -> Looked:
    hub = ask_hub(whole.name)
    size = f", {fit.gigabytes(hub.size_bytes)} to download" if hub.size_bytes else ""
    at = f" at commit {hub.commit[:12]}" if hub.commit else ""
    model = Check("model", "ok", f"{whole.name} is not on this machine yet; the hub has it{at}{size}.")
    if not hub.gated:
        access = Check("access", "ok", "It can be downloaded without a login.")
    elif hub.refused is None:
        access = Check("access", "ok", "It is gated, and this machine's login has access.")
    else:
        why = "this machine's login has no access to it" if has_token() else "this machine is not logged in to the hub"
        access = Check("access", "problem", f"It is gated, and {why}.", _LOGIN)
    later = Check("tokenizer", "unknown", "The tokenizer is unknown until the model is downloaded.", "It is checked then.")
    return Looked(name, (model, _licence(whole, hub), access, later), card, hub=hub, parameters=whole.parameters or hub.parameters)


def _licence(card: ModelCard, hub: HubAnswer | None) -> Check:
    if card.kind in lists.MADE:
        origin = "comes with this program, under its licence (MIT)" if card.kind == "built-in" else "was made here: it is yours"
        return Check("licence", "ok", f"The model {origin}.")
    named = (hub.licence if hub else None) or card.details.get("gguf", {}).get("license")
    if not named:
        return Check("licence", "unknown", "Its licence is unknown.", "Read it on the model's page before you publish anything.")
    if str(named).lower() in FREE_LICENCES:
        return Check("licence", "ok", f"Licence: {named}.")
    fix = "Read it on the model's page before you publish results or weights."
    return Check("licence", "note", f"Its licence is {named}, which may set conditions.", fix)


def chat_check(looked: Looked, trains: bool, chat_prompt: bool) -> Check:
    """Base or chat model, and which prompt fits. `chat_prompt`: the model's own template is chosen."""
    plain = "Choose the prompt qa or plain."
    template = looked.hub.chat_template if looked.hub else None  # None: not known
    if looked.gguf:
        template = bool(looked.gguf.header.text("tokenizer.chat_template"))
    try:
        if looked.card is not None and looked.words is not None:
            template = chat_template(looked.card) is not None
            chat_layout(looked, chat_prompt and template)
    except SftqaError as error:
        return Check("chat", "problem" if chat_prompt else "note", str(error), plain)
    if template is None:
        when = looked.later.replace("the model", "it")
        return Check("chat", "unknown", f"Whether it is a base or a chat model is unknown {when}.")
    name, origin = looked.name, looked.card.kind if looked.card is not None else "hub"
    if looked.card is not None and (kept := tuned.tuned_from(looked.card)) is not None:
        name, origin = kept.root, kept.root_kind or "folder"
    kind = lists.kind_of_model(name, template, looked.config, origin)
    if chat_prompt and not template:
        return Check("chat", "problem", "The prompt is the model's chat template, but it has none.", plain)
    if not trains and kind == "chat":
        said = "This is a chat model: levels are measured by completing plain statements, which it may do less well than a base model."
        return Check("chat", "note", said, "Compare it with its own base model, not with others.")
    if not trains:
        return Check("chat", "ok", "Levels are measured by completing plain statements, which needs no chat template.")
    if kind == "base":
        if chat_prompt:
            return Check("chat", "note", "Its name says base model, but the prompt is a chat template.", plain)
        return Check("chat", "ok", "It is a base model, and a plain prompt suits it.")
    if chat_prompt:
        return Check("chat", "ok", "The questions use the model's own chat template.")
    if kind == "either":
        said = "It has a chat template, as some base models do; its name does not say whether it was tuned to chat."
        return Check("chat", "unknown", said, "If the model's page calls it a chat or instruct model, choose the prompt chat.")
    if not template:
        return Check("chat", "note", "Its name says chat model, but it has no chat template.", "See its page for the prompt it expects.")
    return Check("chat", "note", "This is a chat model, but the prompt is a plain one, not its own.", "Choose the prompt chat.")


def chat_layout(looked: Looked, chat_prompt: bool) -> Layout | None:
    """What the model's template puts around a question; None for other prompts, and while it is not on this machine.

    Raises `SettingsError` for a template that can't be used.
    """
    if not chat_prompt or looked.card is None or looked.words is None:
        return None
    return layout(require_chat_template(looked.card))


def answer_points(looked: Looked, pairs: list[tuple[str, str]], border: Check | None = None) -> list[Check]:
    """The points prompt and answers of (prompt, reply) texts; nothing without any. `border`: what is said where no person wrote it."""
    if not pairs:
        return []
    try:
        tokenizer = tokenizer_files.light_tokenizer(looked.words) if looked.words else None
        prompt = border or tokenizer_files.prompt_check(tokenizer, *pairs[0])
        if tokenizer is None:
            return [prompt, Check("answers", "unknown", f"How answers are tokenized is unknown {looked.later}.")]
        return [prompt, tokenizer_files.answers_check(tokenizer, tokenizer_files.vocabulary(looked.config), pairs)]
    except ModelUnavailable as error:
        return [Check("answers", "problem", str(error), tokenizer_files.FITTING)]


def question_pairs(settings: TrainSettings, facts: pd.DataFrame, chat: Layout | None = None) -> list[tuple[str, str]]:
    """(prompt, reply) as they are trained on, of some facts; `chat` is put around them."""
    return fit.prompt_pairs(settings, facts.head(_SAMPLE), chat)


def statement_pairs(source: FactSource, facts: pd.DataFrame) -> list[tuple[str, str]]:
    """(statement, answer) as a probe reads them, of some facts."""
    columns = (facts[name].head(_SAMPLE) for name in ("relation", "subject", "question", "answers"))
    return [
        (relations.statement_prompts(source.relations[relation], subject, question)[0], f" {answers[0]}")
        for relation, subject, question, answers in zip(*columns, strict=True)
    ]


def training_context(
    looked: Looked, settings: TrainSettings, source: FactSource, pool: pd.DataFrame, tests: pd.DataFrame, n: int, chat: Layout | None = None
) -> Check:
    """Whether the longest example, the longest question with its answer and the longest prompt of a probe fit, and what of the few-shot
    baseline. Levels of the test facts are always measured, of the train facts where examples are chosen by them."""
    from sftqa_core.training.selection import needs_levels

    window, new = capacity.context_window(looked.config), settings.max_answer_tokens
    count = tokenizer_files.token_counter(looked.words, looked.config)
    example = fit.longest_example(settings, pool, n, count, chat)
    longest = max(example, new + fit.longest_question(replace(settings, shots=0, more_shots=()), pool, tests, count, chat))
    for facts in (tests, pool if needs_levels(settings) else tests.head(0)):
        longest = max(longest, 0 if facts.empty else _longest_probe(looked, settings.scheme, source, facts))
    if window is None or not capacity.fits_window(window, longest):
        return _context(looked, window, longest)
    if n and not capacity.fits_window(window, rare := fit.longest_example(settings, pool, len(pool), count, chat)):
        said = f"A few facts make examples of up to {rare:,} tokens, more than the context window of {window:,}; a sample may include one."
        return Check("context", "note", said, _SHORTER)
    most = max(settings.shots, *settings.more_shots, 0)
    shown = new + fit.longest_question(settings, pool, tests, count, chat) if most else 0
    if not capacity.fits_window(window, shown):
        said = f"{most}-shot prompts take about {shown:,} tokens, more than the context window of {window:,}; fewer examples are shown."
        return Check("context", "note", said, "Choose fewer shots for that baseline, or a model with a larger context window.")
    return _context(looked, window, max(longest, shown))


def probing_context(looked: Looked, settings: ProbeSettings, source: FactSource, facts: pd.DataFrame) -> Check:
    """Whether the longest prompt with its completion fits."""
    return _context(looked, capacity.context_window(looked.config), _longest_probe(looked, settings.scheme, source, facts))


def _longest_probe(looked: Looked, scheme: LevelScheme, source: FactSource, facts: pd.DataFrame) -> int:
    count = tokenizer_files.token_counter(looked.words, looked.config)
    return fit.longest_prompt(source, facts, count, scheme) + capacity.completion_tokens(scheme)


def _context(looked: Looked, window: int | None, longest: int) -> Check:
    if not looked.config:
        return Check("context", "unknown", f"The context window is unknown {looked.later}.")
    if window is None:
        return Check("context", "ok", "The model's configuration sets no limit to the length of a text.")
    if not capacity.fits_window(window, longest):
        said = f"The longest text takes {longest:,} tokens, more than the model's context window of {window:,} tokens."
        return Check("context", "problem", said, _SHORTER)
    return Check("context", "ok", f"The longest text takes {longest:,} tokens of the model's context window of {window:,}.")
