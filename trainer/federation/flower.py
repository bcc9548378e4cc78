"""Encrypted federated averaging in a Flower app: a strategy for its ServerApp, a mod for its ClientApp.

The app's own train function sees plain weights and returns plain weights. Flower 1.42's message API; torch is not
needed. docs/encrypted-fedavg.md says what the server sees.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MessageType, MetricRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAvg

from he_core import SecretBundle
from trainer.errors import ConfigError
from trainer.federation.encrypted_fedavg import (
    CONTRIBUTION,
    GlobalModel,
    HistoryError,
    Member,
    Server,
    Terms,
    UnfitWeightsError,
    client_number,
)
from trainer.parties.key_folder import public_in, secret_in

Record = TypeVar("Record")

KEY_FOLDER = "key-folder"
WEIGHTS, STANDING, CONTRIBUTED = "dcsfl.weights", "dcsfl.standing", "dcsfl.contributed"


class EncryptedFedAvg(FedAvg):
    """`FedAvg` whose server adds encrypted updates and never sees weights after the initial ones.

    key_folder: holds public.key, no secret.key. terms: as at the clients. Further arguments are FedAvg's.
    What `start` returns in `arrays` is a sealed model: `Member.open` opens it, under `terms_of_run`.
    Raises SecretKeyRefusedError, KeyFileError.
    """

    def __init__(self, key_folder: Path, terms: Terms, **fedavg: object) -> None:
        super().__init__(**fedavg)
        self._server = Server(public_in(key_folder), terms)
        self._sealed: dict[str, np.ndarray] = {}

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """As FedAvg's; keeps the sealed model that the round's sum will be added to."""
        self._sealed = _from_record(arrays)
        return super().configure_train(server_round, arrays, config, grid)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """The sealed model with this round's sum; metrics averaged in the clear, as FedAvg does."""
        valid, _ = self._check_and_log_replies(replies, is_train=True)
        if not valid:
            return None, None
        contributions = {client_number(str(reply.metadata.src_node_id)): _contribution_in(reply) for reply in valid}
        sealed = self._server.add_up(self._sealed, server_round, contributions)
        metrics = self.train_metrics_aggr_fn([reply.content for reply in valid], self.weighted_by_key)
        return _to_record(sealed), metrics


class EncryptionMod:
    """A mod for `ClientApp(mods=[...])`: opens the sealed model on the way in, encrypts the update on the way out.

    terms: as at the server. weighted_by: the metric with the number of examples. The folder with secret.key is the
    SuperNode's own business: `flower-supernode --node-config 'key-folder="/path"'`.
    """

    def __init__(self, terms: Terms, weighted_by: str = "num-examples") -> None:
        self._terms, self._weighted_by = terms, weighted_by

    def __call__(
        self, message: Message, context: Context, call_next: Callable[[Message, Context], Message]
    ) -> Message:
        """Raises HistoryError, UnfitWeightsError, the engine's errors; Flower reports them as this node's error."""
        if not message.content.array_records:
            return _without_weights(call_next(message, context))
        member = Member(_secret_of(context), terms_of_run(self._terms, context.run_id))
        name, record = _only(message.content.array_records, "message")
        model = member.open(_from_record(record), _known(context), _contributions(context))
        _keep(context, model)
        message.content[name] = _to_record(model.weights)
        reply = call_next(message, context)
        if message.metadata.message_type != MessageType.TRAIN or reply.has_error():
            return _without_weights(reply)
        return self._seal(message, reply, context, member, model)

    def _seal(
        self, message: Message, reply: Message, context: Context, member: Member, model: GlobalModel
    ) -> Message:
        (config,) = message.content.config_records.values()
        name, trained = _only(reply.content.array_records, "reply")
        _, metrics = _only(reply.content.metric_records, "reply")
        round, client = int(config["server-round"]), client_number(str(context.node_id))
        past = _contributions(context)
        # A mask stands for one message: two updates under the same one would show their difference's polynomial.
        if round <= max([*past, model.last_round]):
            raise HistoryError(
                f"the server asks for round {round} again; the last one was {max([*past, model.last_round])}"
            )
        data = member.contribution(
            model,
            _from_record(trained),
            round=round,
            client=client,
            weight=int(metrics[self._weighted_by]),
        )
        context.state[CONTRIBUTED] = ConfigRecord({"rounds": [*past, round], "clients": [*past.values(), client]})
        reply.content[name] = ArrayRecord({CONTRIBUTION: Array(np.frombuffer(data, np.uint8))})
        return reply


def terms_of_run(terms: Terms, run_id: int) -> Terms:
    """The terms with Flower's run in their session: under a name used twice, no sum of one run passes in another."""
    return replace(terms, session=f"{terms.session}, Flower run {run_id}")


def _secret_of(context: Context) -> SecretBundle:
    folder = context.node_config.get(KEY_FOLDER)
    if folder is None:
        raise ConfigError(
            f"no {KEY_FOLDER} here: start it with `flower-supernode --node-config '{KEY_FOLDER}=\"FOLDER\"'`, "
            "FOLDER being where the group's secret.key is"
        )
    return secret_in(Path(str(folder)))


def _only(records: Mapping[str, Record], where: str) -> tuple[str, Record]:
    """The one record of its kind, with its name. Raises UnfitWeightsError."""
    if len(records) != 1:
        raise UnfitWeightsError(f"a {where} must have one record of a kind, not {len(records)}: {sorted(records)}")
    return next(iter(records.items()))


def _without_weights(reply: Message) -> Message:
    """The reply, refused where weights would leave in the clear: only train replies are encrypted."""
    if reply.has_content() and reply.content.array_records:
        raise UnfitWeightsError(
            f"a reply to {reply.metadata.message_type!r} has arrays, {sorted(reply.content.array_records)}, that "
            "would leave unencrypted: only replies to 'train' may carry weights"
        )
    return reply


def _contribution_in(reply: Message) -> bytes:
    _, record = _only(reply.content.array_records, "reply")
    if set(record) != {CONTRIBUTION}:
        raise HistoryError(
            f"node {reply.metadata.src_node_id} sent weights in the clear: give its ClientApp an EncryptionMod"
        )
    return record[CONTRIBUTION].numpy().tobytes()


def _from_record(record: ArrayRecord) -> dict[str, np.ndarray]:
    return {name: array.numpy() for name, array in record.items()}


def _to_record(arrays: dict[str, np.ndarray]) -> ArrayRecord:
    return ArrayRecord({name: Array(array) for name, array in arrays.items()})


def _known(context: Context) -> GlobalModel | None:
    """What this node made of the last sealed model of this run; Flower keeps it at the SuperNode between messages."""
    if STANDING not in context.state:
        return None
    standing, weights = context.state[STANDING], context.state[WEIGHTS]
    return GlobalModel(
        _from_record(weights), tuple(standing["limits"]), standing["last_round"], bytes(standing["transcript"])
    )


def _keep(context: Context, model: GlobalModel) -> None:
    context.state[WEIGHTS] = _to_record(model.weights)
    context.state[STANDING] = ConfigRecord(
        {"limits": list(model.limits), "last_round": model.last_round, "transcript": model.transcript}
    )


def _contributions(context: Context) -> dict[int, int]:
    """Client ids by round that this node contributed to."""
    if CONTRIBUTED not in context.state:
        return {}
    record = context.state[CONTRIBUTED]
    return dict(zip(record["rounds"], record["clients"], strict=True))
