"""A thousand rounds of every misdeed, each caught, and a thousand honest ones, none accused: real ciphertexts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray

from he_core import Codec, Decryptor, Encryptor, Verifier, frame
from he_core.errors import CiphertextRangeError, VerificationError
from he_core.frame import FrameHeader, Kind, Participant

if TYPE_CHECKING:
    from tests.he_core.conftest import Engine, Engines

TRIALS = 1_000
CLIENTS = (0, 1, 2)
WEIGHTS = (10, 3, 7)
CODEC = Codec(16, 4, (20, 3), (0.05, 2.0), weight_reference=10, verified=True)
SCHEMES = ("rlwe-native", "paillier-native", "bfv-openfhe", "plain-numpy")


@dataclass(frozen=True)
class Round:
    """What a server has in hand: this round's contributions, and the last one's."""

    engine: Engine
    number: int
    header: FrameHeader
    contributions: list[Any]
    earlier: list[Any]
    random: np.random.Generator

    def own(self, fields: NDArray[np.uint32]) -> Any:
        """The server's own encryption, under the public key."""
        scheme, public = self.engine.scheme, self.engine.public
        ciphertext = scheme.encrypt(public, scheme.plaintext(CODEC.shape).pack(fields), CODEC.shape, self.number)
        return scheme.parse(public, memoryview(bytes(scheme.serialise(public, ciphertext))), CODEC.shape)

    def sum_of(self, ciphertexts: list[Any]) -> bytes:
        """Their sum, under the header of an honest round."""
        scheme, public = self.engine.scheme, self.engine.public
        payload = b""
        total = None
        for ciphertext in ciphertexts:
            # A sum may overwrite what it starts from.
            start = scheme.serialise(public, ciphertext if total is None else scheme.add(public, total, ciphertext))
            payload = bytes(start)
            total = scheme.parse(public, memoryview(payload), CODEC.shape)
        return frame.encode(self.header, payload)


def drop(at: Round) -> list[Any]:
    """One is left out, or two."""
    left_out = at.random.choice(len(CLIENTS), at.random.integers(1, len(CLIENTS)), replace=False)
    return [part for client, part in enumerate(at.contributions) if client not in left_out]


def repeat(at: Round) -> list[Any]:
    """One is in twice, as one more or in the place of another."""
    kept = at.contributions[at.random.integers(2) :]
    return [*kept, kept[at.random.integers(len(kept))]]


def replay(at: Round) -> list[Any]:
    """One of the last round instead of its successor, as one more, or all of them."""
    client = int(at.random.integers(len(CLIENTS)))
    others = [part for index, part in enumerate(at.contributions) if index != client]
    return [[*others, at.earlier[client]], [*at.contributions, at.earlier[client]], at.earlier][at.random.integers(3)]


def alter(at: Round) -> list[Any]:
    """Something small is added to one field, to many, or one contribution is replaced by the server's own."""
    fields = np.zeros(CODEC.shape.value_count, np.uint32)
    kind = at.random.integers(3)
    if kind == 0:
        fields[at.random.integers(fields.size)] = 1
    else:
        fields[:] = at.random.integers(0, 2**CODEC.bits, fields.size)
    return [*at.contributions[: None if kind < 2 else -1], at.own(fields)]


def honest(at: Round) -> list[Any]:
    return [at.contributions[client] for client in at.random.permutation(len(CLIENTS))]


def update_of(client: int, round: int) -> NDArray[np.float32]:
    random = np.random.default_rng([client, round])
    return random.normal(0, 0.02, CODEC.value_count).astype(np.float32)


@pytest.fixture(params=SCHEMES)
def rounds(request: pytest.FixtureRequest, engines: Engines) -> Callable[[int], Any]:
    """rounds(count): so many rounds one after the other, each with the check that a client makes of a sum."""
    scheme, backend = request.param.split("-")
    if scheme == "bfv" and (scheme, backend) not in engines:
        pytest.skip("no OpenFHE here")
    engine = engines[scheme, backend]
    assert engine.keys.verification_key is not None
    verifier = Verifier(engine.keys.verification_key, bytes(16))
    encryptor = Encryptor(engine.scheme, engine.secret, verifier=verifier)
    decryptor = Decryptor(engine.scheme, engine.secret, verifier=verifier)
    participants = tuple(Participant(client, WEIGHTS[client]) for client in CLIENTS)

    def play(count: int) -> Any:
        earlier: list[Any] = []
        for number in range(count + 1):
            parsed = [
                frame.parse(
                    encryptor.encrypt(
                        update_of(client, number), CODEC, round=number, client=client, weight=WEIGHTS[client]
                    )
                )
                for client in CLIENTS
            ]
            contributions = [engine.scheme.parse(engine.public, part.payload, CODEC.shape) for part in parsed]
            header = replace(parsed[0].header, kind=Kind.SUM, participants=participants)
            if earlier:
                at = Round(engine, number, header, contributions, earlier, np.random.default_rng(number))
                yield at, lambda data, n=number: decryptor.decrypt(data, CODEC, round=n, participants=participants)
            earlier = contributions

    return play


def is_refused(at: Round, judge: Callable[[bytes], Any], ciphertexts: list[Any]) -> bool:
    try:
        judge(at.sum_of(ciphertexts))
    except VerificationError as error:
        return error.round_index == at.number
    return False


@pytest.mark.slow
def test_every_misdeed_is_caught_a_thousand_times_in_a_thousand_and_no_honest_round_is(
    rounds: Callable[[int], Any],
) -> None:
    misdeeds = (drop, repeat, replay, alter)
    refused = dict.fromkeys((*misdeeds, honest), 0)
    for at, judge in rounds(TRIALS):
        for deed in refused:
            refused[deed] += is_refused(at, judge, deed(at))
    assert refused == {**dict.fromkeys(misdeeds, TRIALS), honest: 0}


def test_every_misdeed_is_caught_and_no_honest_round_is_accused(rounds: Callable[[int], Any]) -> None:
    for at, judge in rounds(6):
        assert [is_refused(at, judge, deed(at)) for deed in (drop, repeat, replay, alter, honest)] == [True] * 4 + [
            False
        ]


def test_a_flipped_bit_of_a_ciphertext_is_refused_or_changes_nothing(rounds: Callable[[int], Any]) -> None:
    """Low bits of a lattice ciphertext are noise: what is accepted is the honest mean, to the last bit."""
    seen = {"refused": 0, "unchanged": 0, "no ciphertext": 0}
    for at, judge in rounds(40):
        total = at.sum_of(honest(at))
        mean = judge(total)
        payload = bytearray(frame.parse(total).payload)
        place = int(at.random.integers(8 * len(payload)))
        payload[place // 8] ^= 1 << place % 8
        try:
            result = judge(frame.encode(at.header, bytes(payload)))
        except VerificationError:
            seen["refused"] += 1
        except CiphertextRangeError:
            seen["no ciphertext"] += 1
        else:
            np.testing.assert_array_equal(result, mean)
            seen["unchanged"] += 1
    assert sum(seen.values()) == 40
    assert seen["refused"] > 0
