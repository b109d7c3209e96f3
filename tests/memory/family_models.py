"""One tiny untrained model of every family, the prompts they are tried with, and plain references to compare with.

Weights are large (standard deviation 0.4), so attention, positions and windows matter to every logit, and a few tokens carry
most of the probability: samples share prefixes. Names and places are single tokens, so some answers are hit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from typing import Any

import numpy as np
import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import GenerationConfig, PreTrainedTokenizerFast

from sftqa_core.engine import drawing
from sftqa_core.engine.decoder import Decoder, Load, Read
from sftqa_core.engine.drawing import StopCriteria
from sftqa_core.engine.greedy import greedy
from sftqa_core.engine.packed import PackedModel
from sftqa_core.engine.sampling import Prompt, batches_by_length, prompt_uniforms
from sftqa_core.knowledge.matching import Matcher
from sftqa_core.models.catalogue import ModelFingerprint
from sftqa_core.models.loading import LoadedModel
from sftqa_core.records import ModelCard, SamplerSettings
from tests.amount import FULL

END = "<|end|>"  # start, end and pad: a mask made from the pad token would hide the start
WORDS = (*"Ada Bo Cy Paris Lima Rome was born lives in is from and the it he she city of s a x ü".split(), ".", ",")  # noqa: SIM905
WINDOW = 5  # tokens, shorter than most prompts
NEAR = 1e-5  # a uniform number this close to a border of the distribution function may fall on either side

SETTINGS = SamplerSettings(samples=20, temperature=0.25, max_new_tokens=10 if FULL else 6, seed=3)

SIZES = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 96,
    "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0, "initializer_range": 0.4,
}  # fmt: skip
GROUPED = SIZES | {"num_key_value_heads": 2}
GEMMA = GROUPED | {"head_dim": 16, "hidden_activation": "gelu_pytorch_tanh"}
ALTERNATING = {
    "tie_word_embeddings": False,
    "sliding_window": WINDOW,
    "query_pre_attn_scalar": 16,
    "layer_types": ["sliding_attention", "full_attention"],
}
GPT2 = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 96, "bos_token_id": 0, "eos_token_id": 0, "initializer_range": 0.4}
OPT = {"ffn_dim": 48, "word_embed_proj_dim": 32, "init_std": 0.4}
MOE = {"num_local_experts": 4, "num_experts_per_tok": 2}


@dataclass(frozen=True)
class Family:
    """How one is built, and whether it can be read in packed form."""

    model: str
    config: str
    options: dict[str, Any]
    packs: bool = True


FAMILIES = {
    "llama": Family("LlamaForCausalLM", "LlamaConfig", SIZES | {"tie_word_embeddings": True}),
    "llama-grouped-untied": Family("LlamaForCausalLM", "LlamaConfig", GROUPED | {"tie_word_embeddings": False}),
    "mistral-window": Family("MistralForCausalLM", "MistralConfig", GROUPED | {"sliding_window": WINDOW}),
    "qwen2-window": Family(
        "Qwen2ForCausalLM", "Qwen2Config", GROUPED | {"use_sliding_window": True, "sliding_window": WINDOW, "max_window_layers": 0}
    ),
    "qwen3": Family("Qwen3ForCausalLM", "Qwen3Config", GROUPED | {"head_dim": 16}),
    "gpt-neox": Family("GPTNeoXForCausalLM", "GPTNeoXConfig", SIZES),
    "gemma": Family("GemmaForCausalLM", "GemmaConfig", GEMMA),
    "gemma2-softcap": Family(
        "Gemma2ForCausalLM", "Gemma2Config", GEMMA | ALTERNATING | {"attn_logit_softcapping": 2.0, "final_logit_softcapping": 8.0}
    ),
    "gemma3": Family("Gemma3ForCausalLM", "Gemma3TextConfig", GEMMA | ALTERNATING),
    "phi": Family("PhiForCausalLM", "PhiConfig", SIZES),
    "phi3-window": Family("Phi3ForCausalLM", "Phi3Config", GROUPED | {"sliding_window": WINDOW}),
    "gpt2": Family("GPT2LMHeadModel", "GPT2Config", GPT2),
    "opt": Family("OPTForCausalLM", "OPTConfig", SIZES | OPT),
    "mixtral": Family("MixtralForCausalLM", "MixtralConfig", GROUPED | MOE),
    "falcon": Family("FalconForCausalLM", "FalconConfig", SIZES | {"ffn_hidden_size": 48}, packs=False),
    "falcon-alibi": Family(
        "FalconForCausalLM", "FalconConfig", SIZES | {"ffn_hidden_size": 48, "alibi": True, "parallel_attn": False}, packs=False
    ),
    "bloom-alibi": Family("BloomForCausalLM", "BloomConfig", SIZES, packs=False),
    "gpt-oss-sinks": Family(
        "GptOssForCausalLM", "GptOssConfig", GROUPED | MOE | {"head_dim": 16, "sliding_window": WINDOW, "rope_scaling": None}, packs=False
    ),
    "mamba": Family("MambaForCausalLM", "MambaConfig", SIZES | {"state_size": 4}, packs=False),
}


@cache
def tokenizer() -> PreTrainedTokenizerFast:
    """Words with and without a space before them; in ids as in texts no two are the same."""
    pieces = dict.fromkeys(form for word in WORDS for form in (word, f" {word}"))
    spelled = [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str(piece)[0][0] for piece in pieces]
    raw = Tokenizer(models.WordLevel({token: number for number, token in enumerate([END, *spelled])}, unk_token=END))
    raw.pre_tokenizer, raw.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=raw, bos_token=END, eos_token=END, pad_token=END)


def build(name: str, dtype: torch.dtype = torch.float32, **options: Any) -> LoadedModel:
    """The family's model, the same at every call; `options` overrule its configuration."""
    return loaded_from(FAMILIES[name], dtype, **options)


def loaded_from(family: Family, dtype: torch.dtype = torch.float32, **options: Any) -> LoadedModel:
    """A model with seeded weights and its tokenizer, on the CPU."""
    said = tokenizer()
    config = getattr(transformers, family.config)(vocab_size=len(said), **(family.options | options))
    torch.manual_seed(1)
    model = getattr(transformers, family.model)(config).to(dtype).eval()
    model.generation_config = GenerationConfig(eos_token_id=[0], pad_token_id=0, do_sample=False)
    fingerprint = ModelFingerprint("w" * 16, None, str(dtype), "cpu")
    return LoadedModel(
        ModelCard("tiny", "folder", None, False),
        model,
        said,
        "cpu",
        str(dtype),
        fingerprint,
        [0],
        (0, *said.convert_tokens_to_ids(["Ġit", "."])),
        0,
    )


# --- prompts --------------------------------------------------------------------------------------------------

FACTS = [
    ("00000000000000a1", "Ada", ["Paris", "Lima"]),
    ("ffffffffffffffb2", "Bo", ["Lima", "Rome", "city"]),
    ("00000000000000c3", "Cy", ["Nowhere"]),
    ("00000000000000d4", "Ada", ["Rome", "he"]),  # another fact about the same subject: its prompts are the first one's
]
FORMS = [
    "{0}",
    "{0} was born in",
    "{0} was born in Lima. {0} lives in",
    "the city of Rome, the city of Lima and the city of Paris. she lives in Rome and he lives in Lima. {0} was born in Paris. {0} is from",
]


def prompts_of(loaded: LoadedModel, start: Sequence[int] = (0,), match: str = "tokens") -> list[Prompt]:
    """16 prompts of 1 to 34 tokens: each of the first two begins the next, and those of the first fact are also the fourth's."""
    return [
        Prompt(fact, t, (*start, *loaded.tokenizer(form.format(subject))["input_ids"]), Matcher(match).compile(answers))
        for fact, subject, answers in FACTS
        for t, form in enumerate(FORMS)
    ]


# --- references -----------------------------------------------------------------------------------------------


@torch.no_grad()
def plain_logits(loaded: LoadedModel, texts: Sequence[Sequence[int]]) -> torch.Tensor:
    """The model's own logits after each text, [texts, vocabulary]: whole texts, those of one length together, no cache."""
    found: dict[int, torch.Tensor] = {}
    for batch in batches_by_length([len(text) for text in texts], 64):
        ids = torch.tensor([list(texts[at]) for at in batch])
        found.update(zip(batch, loaded.model(input_ids=ids, use_cache=False).logits[:, -1], strict=True))
    return torch.stack([found[at] for at in range(len(texts))])


def generated(loaded: LoadedModel, prompts: Iterable[tuple[int, ...]], limit: int) -> dict[tuple[int, ...], list[int]]:
    """Tokens of transformers' own greedy `generate` after each prompt, up to its end token; those of one length together."""
    config = GenerationConfig(do_sample=False, eos_token_id=list(loaded.end_ids), pad_token_id=0, max_new_tokens=limit, top_k=0)
    found = {}
    for length, alike in groupby(sorted(set(prompts), key=len), key=len):
        together = list(alike)
        ids = torch.tensor(together)
        out = loaded.model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), generation_config=config)
        for prompt, tokens in zip(together, out[:, length:].tolist(), strict=True):
            ends = [at for at, token in enumerate(tokens) if token in loaded.end_ids]
            found[prompt] = tokens[: ends[0] + 1] if ends else tokens
    return found


@dataclass(frozen=True)
class Walk:
    """One sample drawn by plain forward passes."""

    outcome: tuple[str, int, str]  # text, tokens, stop
    margin: float  # the least distance, over its steps, from the uniform number to a border of the distribution function


@torch.no_grad()
def walked(loaded: LoadedModel, prompt: Prompt, settings: SamplerSettings) -> list[Walk]:
    """What the prompt's samples must draw: whole texts through the model at every step, one number a token by inverse CDF."""
    watch, uniform = StopCriteria.of(loaded), prompt_uniforms([prompt], settings)[0]
    texts = np.tile(np.array(prompt.ids), (settings.samples, 1))
    margin, found = np.ones(settings.samples), {}
    for step in range(settings.max_new_tokens):
        live = [sample for sample in range(settings.samples) if sample not in found]
        if not live:
            break
        logits = loaded.model(input_ids=torch.from_numpy(texts[live]), use_cache=False).logits[:, -1].double()
        cdf = torch.softmax(logits / settings.temperature, -1).cumsum(-1).numpy()
        numbers = uniform[live, step]
        margin[live] = np.minimum(margin[live], np.abs(cdf - numbers[:, None])[:, :-1].min(axis=1))
        tokens = np.zeros(settings.samples, dtype=np.int64)
        tokens[live] = [min(np.searchsorted(row, u, side="right"), len(row) - 1) for row, u in zip(cdf, numbers, strict=True)]
        texts = np.column_stack([texts, tokens])
        drawn = texts[live, len(prompt.ids) :]
        stops = watch.check(drawn, np.full(len(live), step + 1), [prompt.answers] * len(live), settings.max_new_tokens)
        found |= {live[at]: (text, step + 1, stop) for at, (stop, text) in stops.items()}
    return [Walk(found[sample], float(margin[sample])) for sample in range(settings.samples)]


def outcomes(rows: Sequence[Any]) -> dict[tuple[str, int], Counter[tuple[str, int, str]]]:
    """(fact, template) -> how many samples ended in each (text, tokens, stop)."""
    counted: dict[tuple[str, int], Counter[tuple[str, int, str]]] = {}
    for row in rows:
        counted.setdefault((row.fact_id, row.template), Counter())[row.text, row.tokens, row.stop] += row.count
    return counted


def agreement(some: Sequence[Any], others: Sequence[Any]) -> float:
    """Share of the samples that ended alike in both, prompt by prompt."""
    left, right = outcomes(some), outcomes(others)
    return sum((left[place] & right[place]).total() for place in left) / sum(counts.total() for counts in left.values())


def untraced(
    loaded: LoadedModel, prompts: Sequence[Prompt], settings: SamplerSettings, some: Sequence[Any], others: Sequence[Any]
) -> list[Prompt]:
    """Prompts whose completions differ though no near-tie explains it.

    Explained: every sample that by plain passes stays `NEAR` or further from all borders ended in both as those passes say.
    """
    left, right = outcomes(some), outcomes(others)
    wrong = []
    for prompt in prompts:
        place = prompt.fact_id, prompt.template
        if left.get(place) != right.get(place):
            firm = Counter(walk.outcome for walk in walked(loaded, prompt, settings) if walk.margin >= NEAR)
            if place not in left or place not in right or not (firm <= left[place] and firm <= right[place]):
                wrong.append(prompt)
    return wrong


class Wandering(Decoder[tuple[int, ...]]):
    """Rows that split, wait and stop without regard to the logits, while prompts come and go."""

    def __init__(self, loaded: LoadedModel, load: Load, steps: int):
        self.loaded, self.rng = loaded, np.random.default_rng(0)
        self.turn, self.seen = 0, Counter[str]()
        self.texts_read, self.logits_read = list[tuple[int, ...]](), list[torch.Tensor]()
        super().__init__(PackedModel(loaded), load, steps, "")

    def worst(self) -> float:
        """How far the logits of all passes were off; compared at once, so that the model reads the texts of one length together."""
        own = plain_logits(self.loaded, self.texts_read)
        return float((torch.cat(self.logits_read).float() - own.float()).abs().max())

    def texts(self, item: tuple[int, ...]) -> list[tuple[int, ...]]:
        """See `Decoder`."""
        return [item]

    def ready(self) -> np.ndarray:
        """Two rows of three, the same ones until the next pass."""
        rows = np.flatnonzero((self.drawn.sum(axis=1) + self.place + self.turn) % 3 > 0)
        return rows if len(rows) else np.arange(len(self.place))

    def advance(self, reads: list[Read]) -> list[int]:
        """Remember what was read, then go on anyhow; returns one number a prompt that is over."""
        self.turn += 1
        read = np.zeros(len(self.place), dtype=bool)
        for rows, logits in reads:
            read[rows] = True
            self.texts_read += [(*self.items[self.place[row]], *self.drawn[row, : self.depth[row]].tolist()) for row in rows.tolist()]
            self.logits_read.append(logits)
        self._grow(read & (self.depth < self.max_new_tokens), logits.shape[-1])
        over = self.items.keys() - set(self.place.tolist())
        for place in over:
            self.finish(place)
        self.seen.update(passes=1, mixed=len(reads) == 2, waited=not read.all(), over=len(over))
        return list(over)

    def _grow(self, grows: np.ndarray, vocabulary: int) -> None:
        """Each row that was read gets up to three children, of which a third is gone at once; a row at its end is gone."""
        parents = np.repeat(np.arange(len(grows)), np.where(grows, self.rng.integers(1, 4, len(grows)), 1))
        tokens = np.where(grows[parents], self.rng.integers(1, vocabulary, len(parents)), -1)
        ended = self.depth[parents] >= self.max_new_tokens
        self.split(parents, tokens)
        self.keep(np.flatnonzero(~ended & ((self.rng.random(len(parents)) < 0.66) | (tokens < 0))))


def rows_of(sampler, prompts, settings=SETTINGS):
    return sorted(row for rows in sampler.sample(prompts, settings) for row in rows)


def chosen(loaded, prompts, monkeypatch, **options):
    """Texts and token ids of greedy answers; an end token is left out of the ids."""
    ids = []
    decode = drawing.decode
    with monkeypatch.context() as patched:
        patched.setattr(drawing, "decode", lambda tokenizer, rows: ids.extend(rows) or decode(tokenizer, rows))
        answers = greedy(loaded, [p.ids for p in prompts], SETTINGS.max_new_tokens, **options)
    return [(answer.text, answer.tokens, list(tokens)) for answer, tokens in zip(answers, ids, strict=True)]
