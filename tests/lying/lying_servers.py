"""Aggregation servers that do not follow the protocol, with real ciphertexts under the public key alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from he_core import CodecShape, frame
from he_core.frame import Kind
from trainer.parties.aggregation_server import AggregationServer
from trainer.parties.messages import ContributionAccepted, EncryptedContribution, EncryptedSum, RoundPlan, SumRequest


class LyingServer(AggregationServer):
    """Honest but in the rounds `lies_in`; then it adds what `chosen` picks, under the header of an honest sum."""

    lies_in: frozenset[int] = frozenset({1})

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._shape: CodecShape | None = None
        self._payloads: dict[int, dict[int, bytes]] = {}  # round -> client -> ciphertext
        self._sums: dict[int, EncryptedSum] = {}
        self._lies: dict[int, EncryptedSum] = {}

    def open(self, plan: RoundPlan) -> None:
        super().open(plan)
        self._payloads[plan.round] = {}

    def _add(self, message: EncryptedContribution) -> ContributionAccepted:
        reply = super()._add(message)
        parsed = frame.parse(message.frame)
        self._shape = parsed.header.shape
        self._payloads[reply.round][reply.client] = bytes(parsed.payload)
        return reply

    def _sum(self, message: SumRequest) -> EncryptedSum:
        honest = super()._sum(message)
        if message.round not in self.lies_in:
            return honest
        if message.round not in self._lies:
            header = frame.parse(honest.frame).header
            lie = frame.encode(self.header(header), self._total(self.chosen(message.round)))
            self._lies[message.round] = EncryptedSum(lie)
        return self._lies[message.round]

    def header(self, honest: frame.FrameHeader) -> frame.FrameHeader:
        return honest

    def chosen(self, round: int) -> list[bytes]:
        """The ciphertexts to add."""
        raise NotImplementedError

    def own(self) -> bytes:
        """A ciphertext of the server's making: one more in the first value."""
        assert self._shape is not None
        fields = np.zeros(self._shape.value_count, np.uint32)
        fields[0] = 1
        words = self._scheme.plaintext(self._shape).pack(fields)
        ciphertext = self._scheme.encrypt(self._key, words, self._shape, max(self._payloads))
        return bytes(self._scheme.serialise(self._key, ciphertext))

    def _total(self, payloads: list[bytes]) -> bytes:
        assert self._shape is not None
        total, sent = None, b""
        for payload in payloads:
            addend = self._scheme.parse(self._key, memoryview(payload), self._shape)
            total = addend if total is None else self._scheme.add(self._key, total, addend)
            sent = bytes(self._scheme.serialise(self._key, total))
            total = self._scheme.parse(self._key, memoryview(sent), self._shape)
        return sent


class Dropping(LyingServer):
    """Leaves the last client out."""

    def chosen(self, round: int) -> list[bytes]:
        return list(self._payloads[round].values())[:-1]


class Repeating(LyingServer):
    """Adds the first client twice."""

    def chosen(self, round: int) -> list[bytes]:
        payloads = list(self._payloads[round].values())
        return [*payloads, payloads[0]]


class Replaying(LyingServer):
    """Takes the first client's contribution of the round before."""

    def chosen(self, round: int) -> list[bytes]:
        return [*list(self._payloads[round].values())[1:], self._payloads[round - 1][0]]


class Altering(LyingServer):
    """Adds a little of its own."""

    def chosen(self, round: int) -> list[bytes]:
        return [*self._payloads[round].values(), self.own()]


class ReplayingTheSum(LyingServer):
    """Returns the sum of the round before, frame and all."""

    def _sum(self, message: SumRequest) -> EncryptedSum:
        self._sums[message.round] = AggregationServer._sum(self, message)
        return self._sums[message.round - (message.round in self.lies_in)]


class MisnamingParticipants(LyingServer):
    """Adds everybody, but names one fewer."""

    def header(self, honest: frame.FrameHeader) -> frame.FrameHeader:
        return replace(honest, kind=Kind.SUM, participants=honest.participants[1:])

    def chosen(self, round: int) -> list[bytes]:
        return list(self._payloads[round].values())


class LyingToOne(Dropping):
    """Gives the last client a false sum, and everybody else the honest one."""

    def _sum(self, message: SumRequest) -> EncryptedSum:
        honest = AggregationServer._sum(self, message)
        assert self._plan is not None
        return super()._sum(message) if message.client == self._plan.receivers[-1] else honest


MISDEEDS = (Dropping, Repeating, Replaying, Altering)
OTHER_MISDEEDS = (ReplayingTheSum, MisnamingParticipants, LyingToOne)
