"""An OpenAI-compatible completions server on this machine, with a table of next-token logits in the place of a model.

It answers as vLLM does, or badly. `trouble` says how:

    one          one completion, whatever n is           warm         the temperature is always 1
    short        at most 4 tokens                        top_k        never another token than the 5 likeliest
    top_p        a nucleus of 0.8                        blind        no log-probabilities
    plain        refuses what OpenAI's API lacks         double       reads a beginning token twice
    busy         429 with every other request            down         503, always
    redirect     sends everyone elsewhere                huge         a reply without end, drip: byte by byte
    list         serves no model                         noise        JSON that is no completion
    silent       accepts, and says nothing               echo         the key, in place of completions
    no version   503 for that
    broken       answers, then closes at the `cut`th request for samples
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np

EXTENDED = {"top_k", "min_p", "repetition_penalty", "return_token_ids", "stop_token_ids"}


@lru_cache(maxsize=8)
def _table(seed: int, size: int, end: int) -> np.ndarray:
    table = np.random.default_rng(seed).normal(0.0, 2.0, (size, size))
    table[:, end] = 1.0
    return table


@dataclass
class FakeServer:
    """What it serves and how; `asked` holds every request's path, body and headers."""

    tokenizer: Any
    seed: int = 0  # of the table: another seed is another model
    trouble: str = ""
    model: str = "tiny"
    key: str = ""
    window: int = 256
    cut: int = 0
    asked: list[tuple[str, dict[str, Any], dict[str, str]]] = field(default_factory=list)
    port: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    over: threading.Event = field(default_factory=threading.Event)

    @property
    def name(self) -> str:
        """As a person names the model."""
        return f"http://127.0.0.1:{self.port}/v1#{self.model}"

    def logits(self) -> np.ndarray:
        """Of the next token after each token: [vocabulary, vocabulary]."""
        return _table(self.seed, len(self.tokenizer), self.tokenizer.eos_token_id)

    def logprobs(self) -> np.ndarray:
        """The same as natural log-probabilities."""
        return self.logits() - np.log(np.exp(self.logits()).sum(-1, keepdims=True))

    @property
    def sampled(self) -> list[dict[str, Any]]:
        """The requests for more than one token at a temperature."""
        return [body for path, body, _ in self.asked if path.endswith("/completions") and body["temperature"] and body["max_tokens"] > 1]


@contextlib.contextmanager
def serving(tokenizer: Any, **settings: Any) -> Iterator[FakeServer]:
    """Start one on a free port of loopback."""
    fake = FakeServer(tokenizer, **settings)

    class Handler(_Handler):
        server_of = fake

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    fake.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield fake
    finally:
        fake.over.set()
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    server_of: FakeServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments: Any) -> None:
        pass

    def handle(self) -> None:
        with contextlib.suppress(OSError):  # the other side went away
            super().handle()

    def do_GET(self) -> None:
        self._answer({})

    def do_POST(self) -> None:
        self._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def _answer(self, body: dict[str, Any]) -> None:
        fake = self.server_of
        with fake.lock:
            fake.asked.append((self.path, body, dict(self.headers)))
            number, samples = len(fake.asked), len(fake.sampled)
        if fake.trouble == "redirect":
            return self._send(307, {}, Location="http://example.org/v1")
        if fake.key and self.headers.get("Authorization") != f"Bearer {fake.key}":
            return self._send(401, {"error": {"message": f"wrong key {self.headers.get('Authorization')}"}})
        if fake.trouble == "down" or (fake.trouble == "busy" and body and number % 2):
            return self._send(503 if fake.trouble == "down" else 429, {"error": {"message": "too busy"}})
        if fake.trouble == "broken" and fake.cut and samples >= fake.cut:
            self.close_connection = True
            return self.connection.shutdown(socket.SHUT_RDWR)
        if fake.trouble == "silent":
            fake.over.wait(30)
            return None
        if fake.trouble == "echo":
            return self._send(200, {"data": f"Bearer {fake.key}", "choices": f"Bearer {fake.key}"})
        if fake.trouble == "no version" and self.path == "/version":
            return self._send(503, {"error": {"message": "not now"}})
        if self.path == "/version":
            return self._send(200, {"version": "1.2.3"})
        if self.path == "/v1/models":
            rows = [] if fake.trouble == "list" else [{"id": fake.model, "owned_by": "vllm", "root": "made", "max_model_len": fake.window}]
            return self._send(200, {"object": "list", "data": rows})
        if fake.trouble in ("huge", "drip"):
            return self._endless(1_000_000 if fake.trouble == "huge" else 1)
        if fake.trouble == "noise":
            return self._send(200, {"choices": [{"text": 5}]})
        if fake.trouble == "plain" and EXTENDED & set(body):
            return self._send(400, {"error": {"message": "Unrecognized request arguments"}})
        return self._send(*_completed(fake, body, number))

    def _send(self, status: int, reply: dict[str, Any], **headers: str) -> None:
        content = json.dumps(reply).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def _endless(self, size: int) -> None:
        self.send_response(200)
        self.end_headers()
        with contextlib.suppress(OSError):
            while True:
                self.wfile.write(b" " * size)
                time.sleep(0.02 if size == 1 else 0)


def _completed(fake: FakeServer, body: dict[str, Any], number: int) -> tuple[int, dict[str, Any]]:
    """HTTP's status and the reply to one request for completions."""
    tokenizer, prompt = fake.tokenizer, body["prompt"]
    ids = list(tokenizer(prompt, add_special_tokens=False)["input_ids"]) if isinstance(prompt, str) else list(prompt)
    ids = [7, 7, *ids] if fake.trouble == "double" else ids
    if len(ids) + body["max_tokens"] > fake.window:
        return 400, {"error": {"message": f"This model's maximum context length is {fake.window} tokens."}}
    limit, count = (min(4, body["max_tokens"]), body["n"]) if fake.trouble == "short" else (body["max_tokens"], body["n"])
    drawn = _drawn(fake, ids[-1], limit, 1 if fake.trouble == "one" else count, body, number)
    table, choices = fake.logprobs(), []
    for index, tokens in enumerate(drawn):
        whole = [*ids, *tokens] if body.get("echo") else tokens
        before = [None, *whole[:-1]] if body.get("echo") else [ids[-1], *tokens[:-1]]
        ended = tokens[-1] == tokenizer.eos_token_id
        choice = {
            "index": index,
            "text": tokenizer.decode(tokens[:-1] if ended else tokens),
            "finish_reason": "stop" if ended else "length",
        }
        if fake.trouble != "blind":
            choice["logprobs"] = {
                "tokens": tokenizer.convert_ids_to_tokens(whole),
                "token_logprobs": [None if last is None else float(table[last, token]) for last, token in zip(before, whole, strict=True)],
                "top_logprobs": [None if last is None else _top(fake, table[last], body["logprobs"]) for last in before],
            }
        choices.append(choice)
    return 200, {"choices": choices, "usage": {"prompt_tokens": len(ids), "completion_tokens": sum(map(len, drawn))}}


def _top(fake: FakeServer, row: np.ndarray, count: int) -> dict[str, float]:
    return {fake.tokenizer.convert_ids_to_tokens(int(token)): float(row[token]) for token in np.argsort(-row)[:count]}


def _drawn(fake: FakeServer, last: int, limit: int, count: int, body: dict[str, Any], number: int) -> list[list[int]]:
    """Token ids of each completion, the end token included; the request's number decides what is drawn."""
    table, rng, end = fake.logits(), np.random.default_rng(number), fake.tokenizer.eos_token_id
    tokens, temperature = np.full((count, 1), last), body["temperature"]
    for _ in range(limit):
        scores = table[tokens[:, -1]]
        if temperature == 0:
            drawn = scores.argmax(-1)
        else:
            chances = _kept(fake, np.exp(scores / (1.0 if fake.trouble == "warm" else temperature)), body.get("top_k", -1))
            cdf = chances.cumsum(-1)
            drawn = (cdf < rng.random((count, 1)) * cdf[:, -1:]).sum(-1)
        tokens = np.concatenate([tokens, drawn[:, None]], axis=1)
    rows = tokens[:, 1:].tolist()
    return [row[: row.index(end) + 1] if end in row else row for row in rows]


def _kept(fake: FakeServer, chances: np.ndarray, top_k: int) -> np.ndarray:
    """Chances [rows, vocabulary] with those cut to 0 that a request, or the server in silence, leaves out."""
    top_k = 5 if fake.trouble == "top_k" else top_k
    if 0 < top_k < chances.shape[1]:
        chances = np.where(chances < np.sort(chances)[:, -top_k][:, None], 0.0, chances)
    if fake.trouble == "top_p":
        order = np.argsort(-chances)
        share = np.take_along_axis(chances, order, -1).cumsum(-1) / chances.sum(-1, keepdims=True)
        beyond = np.concatenate([np.zeros_like(share[:, :1], dtype=bool), share[:, :-1] >= 0.8], axis=1)
        np.put_along_axis(chances, order, np.where(beyond, 0.0, np.take_along_axis(chances, order, -1)), -1)
    return chances
