"""Whether a server draws as it is asked to, found out by a trial before its samples are used.

Servers may cut the number of samples or of tokens, take their own top-k or top-p, or another temperature, and say nothing. The log-
probabilities that a server gives of the likeliest tokens after a prompt foretell how often each of them, and all others together, are
drawn as the next token. Some thousand draws are compared with that by Pearson's chi-squared test, at temperature 1, where the whole
distribution is known, and at the temperature of the samples, where the ratios between the likeliest tokens are. What such a trial does not
show, it does not refuse: a top-p of 0.95 shows, one of 0.999 does not.
"""

import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from math import exp

from sftqa_core.errors import ModelUnavailable
from sftqa_core.models.serving import server_identity
from sftqa_core.models.serving.served_models import ServedModel
from sftqa_core.models.serving.server_client import Refused
from sftqa_core.models.serving.server_identity import PROMPTS
from sftqa_core.progress import Reporter
from sftqa_core.records import SamplerSettings
from sftqa_core.workspace import Workspace

DRAWS = 512  # first tokens of each fixed prompt at each temperature
_TOGETHER = 64  # in one request
_TOPS = (20, 5)  # likeliest tokens that servers give at most: vLLM, OpenAI's API
_LEAST = 5.0  # expected draws of a token that is counted by itself
REMEMBERED_S = 86_400.0  # that a trial holds
LEVEL = 1e-6  # of each test: of a thousand honest servers none is refused


def require_faithful(served: ServedModel, settings: SamplerSettings, reporter: Reporter) -> None:
    """Raise `ModelUnavailable` unless the server gives as many samples and tokens as asked, and draws them as its own log-probabilities
    say. What one model was found to do is remembered for a day, and until another one answers in its place: a server may be started
    again with other defaults."""
    name, workspace = served.client.name, Workspace.current()
    trials: dict[str, Callable[[], None]] = {f"{settings.samples} x {settings.max_new_tokens}": lambda: _require_counts(served, settings)}
    if settings.top_k is not None:
        trials["top-k"] = lambda: _require_top_k(served)
    for temperature in (1.0, settings.temperature):
        trials[f"temperature {temperature:g}"] = partial(_require_temperature, served, temperature)
    known, now = server_identity.known(name, workspace).trials, time.time()
    left = {key: trial for key, trial in trials.items() if not 0 <= now - known.get(key, 0.0) < REMEMBERED_S}
    if left:
        reporter.log(f"Trying out whether {name.place} draws as it is asked to ...")
    for key, trial in left.items():
        reporter.check()
        trial()
        server_identity.keep_trial(name, workspace, key, now)


def _require_counts(served: ServedModel, settings: SamplerSettings) -> None:
    """As many as asked: every reply is looked at for that, here before the work begins."""
    for prompt in PROMPTS[:2]:
        served.ask(prompt, settings.max_new_tokens, settings.samples, settings.temperature)


def _require_top_k(served: ServedModel) -> None:
    for prompt in PROMPTS:
        choices, _ = served.ask(prompt, 1, _TOGETHER, 1.0, top_k=1)
        if len({choice.tokens for choice in choices}) > 1:
            raise ModelUnavailable(
                f"{served.client.name.root} ignores top-k, which this way of asking needs. Choose the paper's levels, or vLLM."
            )


def _require_temperature(served: ServedModel, temperature: float) -> None:
    """The next tokens of each fixed prompt against what they should be."""
    from scipy.stats import chi2

    statistic, freedom = 0.0, 0
    for prompt in PROMPTS:
        likeliest = _likeliest(served, prompt)
        drawn = Counter(_next_tokens(served, prompt, temperature))
        one, degrees = deviation(likeliest, drawn, temperature)
        statistic, freedom = statistic + one, freedom + degrees
    if freedom and float(chi2.sf(statistic, freedom)) < LEVEL:
        raise ModelUnavailable(
            f"{served.client.name.root} does not draw at temperature {temperature:g} what its own log-probabilities say (chi-squared "
            f"{statistic:,.0f}, {freedom} degrees of freedom, {DRAWS * len(PROMPTS):,} draws): it changes the temperature, cuts the "
            "distribution by a top-k, top-p or min-p of its own, or its log-probabilities are not the model's. Start it without such "
            "defaults (vLLM: --generation-config vllm --logprobs-mode raw_logprobs)."
        )


def deviation(likeliest: dict[str, float], drawn: Counter[str], temperature: float) -> tuple[float, int]:
    """Pearson's chi-squared of drawn tokens against the log-probabilities of the likeliest ones, and its degrees of freedom.

    At temperature 1 all other tokens count as one more; at another one, whose total is not known, they are left out. Tokens that are
    expected too rarely to count by themselves count together.
    """
    chances = {token: exp(logprob / temperature) for token, logprob in likeliest.items()}
    counts = {token: float(drawn[token]) for token in chances}
    if temperature == 1.0:
        chances[""] = max(0.0, 1.0 - sum(chances.values()))
        counts[""] = float(sum(drawn.values()) - sum(counts.values()))
    total, mass = sum(counts.values()), sum(chances.values())
    expected = {token: total * chance / mass for token, chance in chances.items()}
    rare = [token for token, number in expected.items() if number < _LEAST]
    cells = [(counts[token], number) for token, number in expected.items() if number >= _LEAST]
    seen, wanted = sum(counts[token] for token in rare), sum(expected[token] for token in rare)
    if wanted < _LEAST and cells:  # too few to be a cell: they join the smallest one
        least = cells.pop(min(range(len(cells)), key=lambda at: cells[at][1]))
        seen, wanted = seen + least[0], wanted + least[1]
    cells.append((seen, wanted))
    if len(cells) < 2:
        return 0.0, 0
    return sum((seen - number) ** 2 / number for seen, number in cells), len(cells) - 1


def _likeliest(served: ServedModel, prompt: str) -> dict[str, float]:
    """Log-probabilities of the likeliest next tokens, as many as the server gives; of texts that stand for several tokens none."""
    for top in _TOPS:
        try:
            (choice,), _ = served.ask(prompt, 1, top=top)
        except Refused as error:
            if error.status not in (400, 422) or top == _TOPS[-1]:
                raise
            continue
        if choice.top and len(choice.top[0]) > 1:
            return {token: logprob for token, logprob in choice.top[0].items() if "\ufffd" not in token}
        break
    raise ModelUnavailable(
        f"{served.client.name.root} does not tell the likeliest tokens with their log-probabilities, so it can't be tried out whether it "
        "draws as it should. vLLM does."
    )


def _next_tokens(served: ServedModel, prompt: str, temperature: float) -> list[str]:
    """DRAWS next tokens."""

    def drawn(_: int) -> list[str]:
        choices, _ = served.ask(prompt, 1, _TOGETHER, temperature)
        return [choice.tokens[0] for choice in choices]

    return [token for tokens in served.client.side_by_side(drawn, range(DRAWS // _TOGETHER)) for token in tokens]
