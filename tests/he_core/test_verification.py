"""Verified sums at every exact engine: honest sums pass, and none that a lying server can make out of frames does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from he_core import Aggregator, Codec, Decryptor, Encryptor, Verifier, frame
from he_core.errors import (
    AlteredSumError,
    ParameterError,
    UnverifiableSchemeError,
    VerificationError,
    WrongContributionsError,
    WrongParticipantsError,
)
from he_core.frame import Participant
from he_core.verification import MOST_SEARCHED, P

if TYPE_CHECKING:
    from tests.he_core.conftest import Engine

KEY, SESSION, KEY_ID = bytes(range(100, 132)), bytes(range(16)), bytes(32)
VERIFIER = Verifier(KEY, SESSION)
CODEC = Codec(16, 8, (40, 3), (0.05, 2.0), weight_reference=100, verified=True)
WEIGHTS = (100, 1, 50, 99)
ROUND = 7


def update_of(client: int, round: int, codec: Codec = CODEC) -> NDArray[np.float32]:
    random = np.random.default_rng([client, round])
    return (random.uniform(-0.9, 0.9, codec.value_count) * np.repeat(codec.limits, codec.lengths)).astype(np.float32)


def contribution(engine: Engine, client: int, round: int = ROUND, verifier: Verifier = VERIFIER) -> bytes:
    encryptor = Encryptor(engine.scheme, engine.public, verifier=verifier)
    return encryptor.encrypt(update_of(client, round), CODEC, round=round, client=client, weight=WEIGHTS[client])


def forged_sum(engine: Engine, payloads: list[bytes], clients: tuple[int, ...] = (0, 1, 2, 3)) -> bytes:
    """What a server that keeps to nothing returns: any ciphertexts added, under the header of a full round."""
    scheme, public = engine.scheme, engine.public
    total: Any = None
    for payload in payloads:
        addend = scheme.parse(public, memoryview(bytes(payload)), CODEC.shape)
        total = addend if total is None else scheme.add(public, total, addend)
    header = replace(
        frame.parse(contribution(engine, 0)).header,
        kind=frame.Kind.SUM,
        participants=tuple(Participant(client, WEIGHTS[client]) for client in clients),
    )
    return frame.encode(header, scheme.serialise(public, total))


def payloads(engine: Engine, *clients: int, round: int = ROUND) -> list[bytes]:
    return [bytes(frame.parse(contribution(engine, client, round)).payload) for client in clients]


def decrypt(engine: Engine, total: bytes, **arguments: Any) -> NDArray[np.float32]:
    return engine.decrypt(total, CODEC, round=ROUND, verifier=VERIFIER, **arguments)


# --- what is accepted


def test_an_honest_sum_is_accepted_with_the_same_mean_as_without_a_tag(exact: Engine) -> None:
    mean = decrypt(exact, forged_sum(exact, payloads(exact, 0, 1, 2, 3)))
    bare = replace(CODEC, verified=False)
    expected = exact.decrypt(exact.sum([update_of(c, ROUND) for c in range(4)], bare, weights=WEIGHTS), bare)
    np.testing.assert_array_equal(mean, expected)


def test_a_full_round_of_largest_digits_is_accepted(exact: Engine) -> None:
    """Digits of `bits` bits leave the guard bits free: their sums do not carry, whatever the checksums are."""
    codec = Codec(2, 8, (5,), (1.0,), verified=True)
    encryptor = Encryptor(exact.scheme, exact.public, verifier=VERIFIER)
    aggregator = Aggregator(exact.scheme, exact.public)
    aggregator.open(0, codec.shape)
    for client in range(8):
        aggregator.add(encryptor.encrypt(np.ones(5, np.float32), codec, round=0, client=client))
    mean = exact.decrypt(aggregator.result(), codec, verifier=VERIFIER)
    np.testing.assert_array_equal(mean, np.ones(5, np.float32))


# --- the four misdeeds, with real ciphertexts


def test_a_dropped_contribution_is_refused_and_named(exact: Engine) -> None:
    with pytest.raises(WrongContributionsError, match=r"round 7 .*client 2 is in it not at all") as refusal:
        decrypt(exact, forged_sum(exact, payloads(exact, 0, 1, 3)))
    assert (refusal.value.missing, refusal.value.repeated) == ((2,), ())


def test_a_repeated_contribution_is_refused_and_named(exact: Engine) -> None:
    with pytest.raises(WrongContributionsError, match="client 1 is in it twice") as refusal:
        decrypt(exact, forged_sum(exact, payloads(exact, 0, 1, 2, 3, 1)))
    assert (refusal.value.missing, refusal.value.repeated) == ((), (1,))


def test_one_contribution_in_the_place_of_another_is_refused_and_named(exact: Engine) -> None:
    with pytest.raises(WrongContributionsError) as refusal:
        decrypt(exact, forged_sum(exact, payloads(exact, 0, 1, 3, 3)))
    assert refusal.value.times == {2: 0, 3: 2}


def test_a_contribution_of_an_earlier_round_under_this_rounds_header_is_refused(exact: Engine) -> None:
    replayed = payloads(exact, 2, round=ROUND - 1)
    with pytest.raises(AlteredSumError, match="another round"):
        decrypt(exact, forged_sum(exact, payloads(exact, 0, 1, 3) + replayed))


def test_a_whole_sum_of_an_earlier_round_under_this_rounds_header_is_refused(exact: Engine) -> None:
    with pytest.raises(AlteredSumError):
        decrypt(exact, forged_sum(exact, payloads(exact, 0, 1, 2, 3, round=ROUND - 1)))


def test_a_round_of_another_run_under_the_same_key_is_refused(exact: Engine) -> None:
    """Same key, round, codec and weights: only the session tells."""
    earlier_run = Verifier(KEY, bytes(16))
    replayed = [bytes(frame.parse(contribution(exact, c, verifier=earlier_run)).payload) for c in range(4)]
    with pytest.raises(AlteredSumError):
        decrypt(exact, forged_sum(exact, replayed))


def test_values_of_the_servers_own_making_are_refused(exact: Engine) -> None:
    """Anyone can encrypt under the public key: a one added to a value, and to a digit of the tag."""
    plaintext = exact.scheme.plaintext(CODEC.shape)
    honest = payloads(exact, 0, 1, 2, 3)
    for index in (0, CODEC.value_count - 1, CODEC.value_count, CODEC.shape.value_count - 1):
        fields = np.zeros(CODEC.shape.value_count, np.uint32)
        fields[index] = 1
        ciphertext = exact.scheme.encrypt(exact.public, plaintext.pack(fields), CODEC.shape, ROUND)
        with pytest.raises(AlteredSumError):
            decrypt(exact, forged_sum(exact, [*honest, bytes(exact.scheme.serialise(exact.public, ciphertext))]))


def test_a_contribution_replaced_by_one_of_the_servers_making_is_refused(exact: Engine) -> None:
    """It holds good values and a good tag, but under a key that the server made up."""
    own = bytes(frame.parse(contribution(exact, 2, verifier=Verifier(bytes(32), SESSION))).payload)
    with pytest.raises(AlteredSumError):
        decrypt(exact, forged_sum(exact, [*payloads(exact, 0, 1, 3), own]))


def test_a_header_that_lies_about_participants_or_weights_is_refused(exact: Engine) -> None:
    """Without a plan to compare with: the tag holds the header to what was sent."""
    total = forged_sum(exact, payloads(exact, 0, 1, 2), clients=(0, 1, 2, 3))
    with pytest.raises(WrongContributionsError, match=r"client 3 is in it not at all"):
        decrypt(exact, total)
    header = frame.parse(total).header
    entries = (Participant(0, 99), *header.participants[1:3])
    lie = frame.encode(replace(header, participants=entries), bytes(frame.parse(total).payload))
    with pytest.raises(AlteredSumError, match="other weights"):
        decrypt(exact, lie)
    planned = tuple(Participant(client, WEIGHTS[client]) for client in range(4))
    with pytest.raises(WrongParticipantsError):
        decrypt(exact, lie, participants=planned)


# --- any sum of honest tags verifies, any change does not


def tagged(codec: Codec, clients: list[int], random: np.random.Generator) -> tuple[NDArray, list[Participant]]:
    """The sum of random contributions, and who is in it."""
    participants = [Participant(client, int(random.integers(1, 100))) for client in clients]
    total = np.zeros(codec.shape.value_count, np.uint32)
    for entry in participants:
        fields = random.integers(1, 2**codec.bits, codec.shape.value_count, np.uint64).astype(np.uint32)
        VERIFIER.tag(fields, codec, round=ROUND, key_id=KEY_ID, participant=entry)
        assert int(fields.max()) < 2**codec.bits
        total += fields
    return total, participants


def check(codec: Codec, sums: NDArray, participants: list[Participant], **changes: Any) -> None:
    arguments: dict[str, Any] = {"round": ROUND, "key_id": KEY_ID, "participants": participants} | changes
    VERIFIER.check(sums, codec, **arguments)


@given(
    bits=st.integers(2, 24),
    clients=st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=12, unique=True),
    count=st.integers(1, 300),
    seed=st.integers(0, 2**32 - 1),
    change=st.integers(1, 2**32 - 1),
    where=st.integers(0, 10**6),
)
@settings(deadline=None)
def test_any_sum_of_honest_tags_passes_and_no_changed_field_does(
    bits: int, clients: list[int], count: int, seed: int, change: int, where: int
) -> None:
    codec = Codec(bits, 12, (count,), (1.0,), weight_reference=100, verified=True)
    sums, participants = tagged(codec, clients, np.random.default_rng(seed))
    check(codec, sums, participants)
    changed = sums.copy()
    changed[where % sums.size] ^= np.uint32(change % 2**codec.shape.field_bits or 1)
    with pytest.raises(VerificationError):
        check(codec, changed, participants)
    for lie in ({"round": ROUND + 1}, {"key_id": bytes(31) + b"1"}):
        with pytest.raises(AlteredSumError):
            check(codec, sums, participants, **lie)
    other = replace(codec, limits=(2.0,))
    with pytest.raises(AlteredSumError):
        check(other, sums, participants)


@given(
    clients=st.lists(st.integers(0, 2**32 - 1), min_size=2, max_size=MOST_SEARCHED, unique=True),
    times=st.lists(st.integers(0, 2), min_size=MOST_SEARCHED, max_size=MOST_SEARCHED),
    seed=st.integers(0, 2**32 - 1),
)
@settings(deadline=None, max_examples=30)
def test_whoever_is_missing_or_repeated_is_named(clients: list[int], times: list[int], seed: int) -> None:
    codec = Codec(16, 64, (9,), (1.0,), weight_reference=100, verified=True)
    random = np.random.default_rng(seed)
    sums = np.zeros(codec.shape.value_count, np.uint32)
    participants = []
    for client, count in zip(clients, times, strict=False):
        part, (entry,) = tagged(codec, [client], random)
        sums += np.uint32(count) * part
        participants.append(entry)
    wrong = {client: count for client, count in zip(clients, times, strict=False) if count != 1}
    if not wrong:
        return check(codec, sums, participants)
    with pytest.raises(WrongContributionsError) as refusal:
        check(codec, sums, participants)
    assert refusal.value.times == wrong
    return None


@pytest.mark.parametrize(
    ("wrong", "named"), [({5: 0}, True), ({5: 60}, True), ({5: 0, 900: 2}, True), ({5: 0, 6: 0, 7: 0}, False)]
)
def test_of_a_thousand_participants_two_can_be_named_and_more_are_refused_all_the_same(
    wrong: dict[int, int], named: bool
) -> None:
    codec = Codec(16, 1200, (4,), (1.0,), weight_reference=100, verified=True)
    random = np.random.default_rng(4)
    parts = [tagged(codec, [client], random) for client in range(1000)]
    sums = np.sum([np.uint32(wrong.get(i, 1)) * part for i, (part, _) in enumerate(parts)], axis=0, dtype=np.uint32)
    with pytest.raises(WrongContributionsError if named else AlteredSumError) as refusal:
        check(codec, sums, [entry for _, (entry,) in parts])
    if isinstance(refusal.value, WrongContributionsError):
        assert refusal.value.times == wrong


@given(data=st.data())
@settings(deadline=None)
def test_a_server_that_adds_multiples_of_contributions_is_refused(data: st.DataObject) -> None:
    """Additive schemes multiply by small numbers too: the polynomial is linear, the masks are what tells."""
    codec = Codec(8, 16, (6,), (1.0,), weight_reference=100, verified=True)
    random = np.random.default_rng(data.draw(st.integers(0, 1000)))
    factors = data.draw(st.lists(st.integers(0, 4), min_size=3, max_size=3).filter(lambda found: found != [1, 1, 1]))
    parts = [tagged(codec, [client], random) for client in range(3)]
    sums = np.sum([np.uint32(f) * part for f, (part, _) in zip(factors, parts, strict=True)], axis=0, dtype=np.uint32)
    with pytest.raises(VerificationError):
        check(codec, sums, [entry for _, (entry,) in parts])


# --- how a codec says it, and what is refused beforehand


def test_a_tag_is_as_few_fields_as_hold_61_bits_and_changes_the_codecs_digest_alone() -> None:
    for bits, count in ((2, 31), (16, 4), (20, 4), (21, 3), (24, 3)):
        bare = Codec(bits, 8, (10, 5), (1.0, 2.0))
        verified = replace(bare, verified=True)
        assert (bare.tag_count, verified.tag_count) == (0, count)
        assert verified.value_count == bare.value_count == bare.shape.value_count == 15
        assert verified.shape == replace(bare.shape, value_count=15 + count)
        assert verified.digest != bare.digest


def test_a_scheme_without_exact_sums_is_refused_by_name(inexact: Engine) -> None:
    engine = inexact
    makers: list[Callable[[], object]] = [
        lambda: Encryptor(engine.scheme, engine.public, verifier=VERIFIER),
        lambda: Decryptor(engine.scheme, engine.secret, verifier=VERIFIER),
    ]
    for make in makers:
        with pytest.raises(UnverifiableSchemeError, match=f"{engine.scheme.name}.*not exact"):
            make()


def test_verifier_and_codec_must_agree(exact: Engine) -> None:
    update = update_of(0, 0)
    with pytest.raises(ParameterError, match="give a verifier"):
        Encryptor(exact.scheme, exact.public).encrypt(update, CODEC, round=0, client=0)
    with pytest.raises(ParameterError, match="set verified=True"):
        Encryptor(exact.scheme, exact.public, verifier=VERIFIER).encrypt(
            update, replace(CODEC, verified=False), round=0, client=0
        )
    with pytest.raises(ParameterError, match="give a verifier"):
        exact.decrypt(forged_sum(exact, payloads(exact, 0, 1, 2, 3)), CODEC, round=ROUND)


@pytest.mark.parametrize(("key", "session", "name"), [(KEY[1:], SESSION, "31 bytes"), (KEY, b"", "session=''")])
def test_a_key_or_session_of_another_size_is_refused_and_shown_only_where_public(
    key: bytes, session: bytes, name: str
) -> None:
    with pytest.raises(ParameterError, match=name) as refusal:
        Verifier(key, session)
    assert key.hex()[:16] not in str(refusal.value)
    assert repr(key)[2:20] not in str(refusal.value)


def test_no_text_of_a_verifier_or_a_refusal_holds_its_key_or_a_value() -> None:
    sums, participants = tagged(CODEC, [0, 1], np.random.default_rng(1))
    with pytest.raises(VerificationError) as refusal:
        check(CODEC, sums + np.uint32(1), participants)
    texts = f"{VERIFIER!r} {refusal.value} {vars(refusal.value)}"
    assert KEY.hex()[:16] not in texts
    assert repr(KEY)[2:20] not in texts
    assert P.bit_length() == 61
