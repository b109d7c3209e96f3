"""The Flower example needs packages that are not here: its client is tried with stand-ins for Flower's classes."""

from __future__ import annotations

import ast
import dataclasses
import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from sftqa_core.knowledge.sources import open_source
from sftqa_core.models.catalogue import find_model
from sftqa_core.models.loading import load_model
from sftqa_core.records import TrainSettings
from sftqa_core.training.fine_tuning import fine_tune
from sftqa_core.training.recipes import low_rank
from sftqa_core.training.selection import select_examples

EXAMPLE = Path(__file__).parents[1] / "examples" / "flower"


class Records(dict):
    """Of Flower: named values; of a message's content those of each kind."""

    config_records = array_records = property(lambda self: self)

    def to_torch_state_dict(self) -> dict[str, Any]:
        """As it is."""
        return dict(self)


class App:
    """Of Flower: registers a function, and leaves it as it is."""

    def train(self) -> Any:
        """Of a client."""
        return lambda function: function


@pytest.fixture
def rounds(monkeypatch) -> ModuleType:
    """The example's apps, on stand-ins."""
    stand_ins = {
        "flwr": {},
        "flwr.app": {
            **dict.fromkeys(("ArrayRecord", "ConfigRecord", "MetricRecord", "RecordDict"), Records),
            "Context": object,
            "Message": lambda content, reply_to: SimpleNamespace(content=content),
        },
        "flwr.clientapp": {"ClientApp": App},
        "flwr.serverapp": {"Grid": object},
        "flwr.serverapp.strategy": {"FedAvg": object},
        "flwr.supercore": {},
        "flwr.supercore.task_identity": {"TaskIdentity": object},
    }
    for name, held in stand_ins.items():
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
        vars(sys.modules[name]).update(held)
    monkeypatch.syspath_prepend(EXAMPLE)
    monkeypatch.setenv("FLWR_TELEMETRY_ENABLED", "1")  # put back afterwards: the module switches it off
    monkeypatch.delitem(sys.modules, "adapter_rounds", raising=False)
    yield importlib.import_module("adapter_rounds")
    del sys.modules["adapter_rounds"]


def test_a_clients_first_round_is_plain_lora(rounds, tmp_path):
    """From the server's first adapter and the facts of its file a client makes what plain LoRA makes of them, bit for bit."""
    settings = TrainSettings("atlas-llama", n=6, method="lora", device="cpu", save_model=False)
    facts = select_examples(open_source(settings.source), None, settings).facts
    facts.to_parquet(tmp_path / "facts.parquet")
    config = {"settings": json.dumps(settings.to_dict()), "server-round": 1}
    message = SimpleNamespace(content=Records(config=config, arrays=rounds.arrays_of(rounds.first_adapter(settings))))
    reply = rounds.train(message, SimpleNamespace(node_config={"facts": str(tmp_path / "facts.parquet")})).content

    tuned = fine_tune(load_model(find_model(settings.model), "cpu"), facts, settings, tmp_path)
    made, plain = low_rank.as_held(rounds.factors_in(reply["arrays"])), low_rank.factors_of(tuned.loaded)
    assert made.keys() == plain.keys()
    assert all((made[layer][at] == plain[layer][at]).all() for layer in plain for at in (0, 1))
    assert any(b.any() for _, b in plain.values())
    assert reply["metrics"] == {"num-examples": 6, "loss": tuned.final_loss}


def test_a_later_round_begins_with_what_was_averaged(rounds, tmp_path):
    """The adapter that the server sends is trained further, with the seed of its round."""
    settings = TrainSettings("atlas-llama", n=2, method="lora", device="cpu", save_model=False)
    facts = select_examples(open_source(settings.source), None, settings).facts
    facts.to_parquet(tmp_path / "facts.parquet")
    sent = {layer: (a, b + 1) for layer, (a, b) in rounds.first_adapter(settings).items()}
    still = dataclasses.replace(settings, learning_rate=1e-12)
    message = SimpleNamespace(
        content=Records(config={"settings": json.dumps(still.to_dict()), "server-round": 2}, arrays=rounds.arrays_of(sent))
    )
    reply = rounds.train(message, SimpleNamespace(node_config={"facts": str(tmp_path / "facts.parquet")})).content
    made = rounds.factors_in(reply["arrays"])
    assert max(float((made[layer][1] - 1).abs().max()) for layer in made) < 1e-6


@pytest.mark.parametrize("path", sorted(EXAMPLE.glob("*.py")), ids=lambda path: path.name)
def test_an_example_uses_what_there_is(path):
    """Every name that it imports of this project exists."""
    found = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.ImportFrom)]
    ours = [(node.module, alias.name) for node in found if str(node.module).startswith("sftqa_core") for alias in node.names]
    assert ours
    for module, name in ours:
        held = importlib.import_module(str(module))
        assert hasattr(held, name) or importlib.util.find_spec(f"{module}.{name}"), f"{module} has no {name}"
