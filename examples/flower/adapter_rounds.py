"""Flower's side: its client app trains the adapter that it gets on its own facts, by this project's trainer; its FedAvg averages.

Messages hold LoRA's matrices A and B of every layer in float64, in which our own loop averages, too; an adapter holds float32.
"""

import json
import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ["FLWR_TELEMETRY_ENABLED"] = "0"  # read when Flower is imported

import pandas as pd
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAvg
from flwr.supercore.task_identity import TaskIdentity
from transformers import set_seed

from sftqa_core.models.catalogue import find_model
from sftqa_core.models.loading import LoadedModel, load_model
from sftqa_core.records import TrainSettings
from sftqa_core.training import adapters
from sftqa_core.training.fine_tuning import Part, fine_tune
from sftqa_core.training.recipes import low_rank
from sftqa_core.training.recipes.federated import seed_of

client = ClientApp()


@client.train()
def train(message: Message, context: Context) -> Message:
    """One round of one client: from the adapter in the message, on the facts in the file that its own node names."""
    told = message.content.config_records["config"]
    settings, number = TrainSettings.from_dict(json.loads(str(told["settings"]))), int(str(told["server-round"]))
    facts, base = pd.read_parquet(str(context.node_config["facts"])), base_model(settings)
    start = low_rank.adapter_on(base, settings, factors_in(message.content.array_records["arrays"].to_torch_state_dict()))
    with tempfile.TemporaryDirectory() as folder:
        of_round = replace(settings, seed=seed_of(settings.seed, number))
        tuned = fine_tune(base, facts, of_round, Path(folder), part=Part("train", {"round": number}, start))
    tuned.settle()
    measured = MetricRecord({"num-examples": len(facts), "loss": tuned.final_loss or 0.0})  # FedAvg weights by num-examples
    return Message(RecordDict({"arrays": arrays_of(low_rank.factors_of(tuned.loaded)), "metrics": measured}), reply_to=message)


def averaged(settings: TrainSettings, files: Sequence[Path], rounds: int) -> low_rank.Factors:
    """What Flower's FedAvg has made, after these rounds, of a client for each file of facts. `settings` are those of plain training."""
    grid = OneProcess(client, dict(enumerate(files, start=1)))
    strategy = FedAvg(fraction_evaluate=0.0, min_train_nodes=len(files), min_available_nodes=len(files))
    told = ConfigRecord({"settings": json.dumps(settings.to_dict())})
    result = strategy.start(grid, arrays_of(first_adapter(settings)), rounds, train_config=told)
    return low_rank.as_held(factors_in(result.arrays.to_torch_state_dict()))


class OneProcess(Grid):
    """Carries the server's messages to the client app in this process, one node after another: Flower's own simulation needs Ray."""

    def __init__(self, app: ClientApp, facts: Mapping[int, Path]):
        TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 0, 0, 0  # whose messages these are; Flower's runtime sets it
        self._app = app
        self._nodes = {node: Context(0, node, {"facts": str(file)}, RecordDict(), {}) for node, file in facts.items()}

    def get_node_ids(self) -> Iterable[int]:
        """One a file of facts."""
        return list(self._nodes)

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        """The replies, in the order of the nodes: FedAvg asks them in a random one, in which a sum would be rounded otherwise.

        What a client raises is raised here: FedAvg would go on without it.
        """
        asked = sorted(messages, key=lambda message: message.metadata.dst_node_id)
        return [self._app(message, self._nodes[message.metadata.dst_node_id]) for message in asked]

    def _unused(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError("FedAvg does not ask for it.")

    set_run = create_message = push_messages = pull_messages = _unused
    run = property(_unused)


def base_model(settings: TrainSettings) -> LoadedModel:
    """The untouched model, on the processor."""
    return load_model(find_model(settings.model), "cpu")


def first_adapter(settings: TrainSettings) -> low_rank.Factors:
    """What a training with this seed begins with: A drawn, B zero. All clients get the same."""
    base = base_model(settings)
    set_seed(settings.seed)
    return low_rank.factors_of(replace(base, model=adapters.trainable(base.model, settings)))


def arrays_of(factors: low_rank.Factors) -> ArrayRecord:
    """Matrices as Flower sends them, named "layer A" and "layer B"."""
    named = {f"{layer} {name}": matrix for layer, pair in factors.items() for name, matrix in zip("AB", pair, strict=True)}
    return ArrayRecord({name: matrix.double() for name, matrix in named.items()})


def factors_in(state: Mapping[str, Any]) -> low_rank.Factors:
    """The same back from named tensors."""
    layers = [name.removesuffix(" A") for name in state if name.endswith(" A")]
    return {layer: (state[f"{layer} A"], state[f"{layer} B"]) for layer in layers}
