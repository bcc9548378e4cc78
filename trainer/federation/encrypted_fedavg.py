"""Encrypted federated averaging for frameworks that have their own loop: what `flower` and `flare_filters` share.

Needs the engine and numpy alone. A server never has the global weights after the first round, so what it keeps and
relays in their place is a *sealed model*: the initial weights, which are public, and under `SUM_PREFIX` the frame of
every round's encrypted sum since. Whoever holds the group's key adds those up in order (`Member.follow`), which is
also how a client that joins late or missed rounds catches up. Everything a client derives, clip limits included,
follows from the sealed model, so clients agree without a word among themselves; a hash of all of it goes into the
session that sums are verified in, so that clients which were shown different histories refuse the next sum.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

import he_core
from he_core import frame
from he_core.verification import SESSION_BYTES
from trainer.errors import TrainerError
from trainer.parties.clipping import ClipLimits

Arrays = Mapping[str, NDArray]

SUM_PREFIX = "encrypted sum of round "
CONTRIBUTION = "encrypted update"


class UnfitWeightsError(TrainerError):
    """Weights that no encrypted update can be made of."""


class HistoryError(TrainerError):
    """A server's account of past rounds that cannot be, or is not what it was before."""


@dataclass(frozen=True)
class Terms:
    """What the parties of a federation agree on beforehand, each from a configuration of its own.

    session: a name for this run, another for every run under one key.
    reach: about how far a weight moves in a round: learning rate times local steps. Limits follow the means later on.
    most_examples: the largest weight (number of examples) of a client; it fixes what an example counts.
    bits: width of a quantised value. most_clients: the most that take part in a round.
    least_clients: the fewest whose sum a client takes up: a sum of one would show that client's update to all.
    """

    session: str
    reach: float
    most_examples: int
    bits: int = 16
    most_clients: int = 8
    least_clients: int = 2

    def codec(self, lengths: tuple[int, ...], limits: tuple[float, ...]) -> he_core.Codec:
        """The codec of a round, of verified sums. Raises ParameterError."""
        return he_core.Codec(
            self.bits, self.most_clients, lengths, limits, weight_reference=self.most_examples, verified=True
        )


@dataclass(frozen=True)
class GlobalModel:
    """The weights after `last_round` at whoever holds the key; a function of a sealed model alone.

    weights: float32 arrays by name. limits: of the coming round, one per array. transcript: hash of the sealed model.
    """

    weights: dict[str, NDArray[np.float32]]
    limits: tuple[float, ...]
    last_round: int
    transcript: bytes

    @property
    def lengths(self) -> tuple[int, ...]:
        """Values per array."""
        return tuple(array.size for array in self.weights.values())


def client_number(name: str) -> int:
    """The client id of a node or site in frames, in [0, 2^32). Two with the same one are refused, not confused."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "little")


def initial_of(sealed: Arrays) -> dict[str, NDArray]:
    """The initial weights of a sealed model."""
    return {name: array for name, array in sealed.items() if not name.startswith(SUM_PREFIX)}


def sums_of(sealed: Arrays) -> dict[int, bytes]:
    """The frames of a sealed model by round, oldest first. Raises HistoryError."""
    try:
        rounds = {int(name.removeprefix(SUM_PREFIX)): name for name in sealed if name.startswith(SUM_PREFIX)}
    except ValueError:
        raise HistoryError(f"a sealed model has a sum of no round among {sorted(sealed)}") from None
    return {round: sealed[rounds[round]].tobytes() for round in sorted(rounds)}


class Server:
    """The aggregation server's part: adds contributions under the public bundle. A secret one is refused."""

    def __init__(self, public: he_core.PublicBundle, terms: Terms) -> None:
        self._scheme = he_core.create(public.scheme, parameters=public.parameters)
        self._aggregator = he_core.Aggregator(self._scheme, self._scheme.public_key(public))
        self._terms = terms

    def add_up(self, sealed: Arrays, round: int, contributions: Mapping[int, bytes]) -> dict[str, NDArray]:
        """The sealed model with the sum of `contributions`, frames by client id, for `round`.

        Raises a FrameError or AggregationError subclass.
        """
        lengths = tuple(array.size for array in initial_of(sealed).values())
        shape = self._terms.codec(lengths, (1.0,) * len(lengths)).shape
        self._aggregator.open(round, shape, tuple(contributions))
        for client, data in contributions.items():
            header = self._aggregator.add(data)
            if header.participants[0].client != client:
                raise HistoryError(f"client {client} sent a contribution of client {header.participants[0].client}")
        total = self._aggregator.result()
        return {**sealed, f"{SUM_PREFIX}{round}": np.frombuffer(total, np.uint8)}


class Member:
    """A key holder's part: weights out of a sealed model, an encrypted update out of weights.

    Raises UnverifiableSchemeError for a scheme whose sums are not exact, ParameterError for a pair without a
    verification key.
    """

    def __init__(self, secret: he_core.SecretBundle, terms: Terms) -> None:
        public = secret.public
        self._scheme = he_core.create(public.scheme, parameters=public.parameters)
        self._key = self._scheme.secret_key(secret)
        self._verification_key = secret.verification_key or b""
        self._terms = terms
        self.saturated_values = 0
        """Values of the latest contribution that exceeded their limit."""

    def first(self, initial: Arrays) -> GlobalModel:
        """The model before any round. Raises UnfitWeightsError."""
        weights = {name: _float32(name, array) for name, array in initial.items()}
        if not weights:
            raise UnfitWeightsError(
                "the initial model has no arrays: give the server's strategy the weights to start from"
            )
        limits = ClipLimits(tuple(array.size for array in weights.values()), self._terms.reach).values
        digest = hashlib.sha256(b"dcsfl sealed model 1\0" + self._terms.session.encode())
        for name, array in weights.items():
            digest.update(f"\0{name}\0{array.shape}\0".encode() + array.tobytes())
        return GlobalModel(weights, limits, -1, digest.digest())

    def open(
        self, sealed: Arrays, known: GlobalModel | None = None, contributed: Mapping[int, int] | None = None
    ) -> GlobalModel:
        """The global model that `sealed` stands for.

        known: what this client made of an earlier sealed model of this run; only later sums are decrypted then.
        contributed: its client id by round it contributed to: each of those sums must hold its part.
        Raises HistoryError, UnfitWeightsError, and a FrameError or VerificationError subclass for a sum that is not
        that of its participants' contributions.
        """
        model, frames = self.first(initial_of(sealed)), sums_of(sealed)
        if known is not None:
            for round, data in frames.items():
                if round <= known.last_round:
                    model = _after(model, round, data)
            if model.transcript != known.transcript:
                raise HistoryError(
                    f"the server's account of the rounds up to {known.last_round} is not what it was before; "
                    "start a new run, with another session"
                )
            model = known
        for round, data in frames.items():
            if round > model.last_round:
                model = self.follow(model, round, data, (contributed or {}).get(round))
        return model

    def follow(self, model: GlobalModel, round: int, data: bytes, own: int | None = None) -> GlobalModel:
        """The model after the sum of `round`, a frame, is added. own: the client id that must be in it. As `open`."""
        participants = frame.parse(data).header.participants
        if len(participants) < self._terms.least_clients:
            raise HistoryError(
                f"the sum of round {round} is of {len(participants)} clients, fewer than "
                f"least_clients, {self._terms.least_clients}"
            )
        if own is not None and own not in {participant.client for participant in participants}:
            raise HistoryError(f"the server left client {own}'s contribution out of the sum of round {round}")
        codec = self._terms.codec(model.lengths, model.limits)
        decryptor = he_core.Decryptor(self._scheme, self._key, verifier=self._verifier(model))
        mean = decryptor.decrypt(data, codec, round=round)
        limits = ClipLimits(model.lengths, self._terms.reach)
        limits.follow(mean)
        parts = np.split(mean, np.cumsum(model.lengths)[:-1])
        weights = {
            name: array + part.reshape(array.shape)
            for (name, array), part in zip(model.weights.items(), parts, strict=True)
        }
        return replace(_after(model, round, data), weights=weights, limits=limits.values)

    def contribution(self, model: GlobalModel, trained: Arrays, *, round: int, client: int, weight: int) -> bytes:
        """The frame of what training changed: `trained` minus the model's weights.

        trained: arrays of the model's names and shapes. weight: number of examples, in [1, most_examples].
        Raises UnfitWeightsError, and the engine's errors for values that are not finite and weights out of range.
        """
        if trained.keys() != model.weights.keys():
            different = sorted(trained.keys() ^ model.weights.keys())
            raise UnfitWeightsError(f"training must return the arrays it was given; these differ: {different}")
        for name, array in model.weights.items():
            if trained[name].shape != array.shape:
                raise UnfitWeightsError(
                    f"array {name!r} has shape {trained[name].shape} after training, not {array.shape}"
                )
        update = np.concatenate(
            [(_float32(name, trained[name]) - old).ravel() for name, old in model.weights.items()]
        )
        encryptor = he_core.Encryptor(self._scheme, self._key, verifier=self._verifier(model))
        codec = self._terms.codec(model.lengths, model.limits)
        data = encryptor.encrypt(update, codec, round=round, client=client, weight=weight)
        self.saturated_values = encryptor.saturated_values
        return data

    def _verifier(self, model: GlobalModel) -> he_core.Verifier:
        return he_core.Verifier(self._verification_key, model.transcript[:SESSION_BYTES])


def _after(model: GlobalModel, round: int, data: bytes) -> GlobalModel:
    return replace(model, last_round=round, transcript=hashlib.sha256(model.transcript + data).digest())


def _float32(name: str, array: NDArray) -> NDArray[np.float32]:
    if array.dtype.kind != "f" or array.size == 0:
        raise UnfitWeightsError(
            f"array {name!r} is {array.dtype} of shape {array.shape}: only floating-point arrays with values can be "
            "averaged; keep others out of the weights that are sent"
        )
    return np.ascontiguousarray(array, np.float32).reshape(array.shape)
