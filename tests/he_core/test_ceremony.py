"""A ceremony ends in one key that works, or in an error that names who did not keep to it."""

from __future__ import annotations

import dataclasses
import stat
from collections.abc import Callable
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from he_core import Aggregator, Codec, Decryptor, Encryptor, SecretBundle, ShareHolder, Verifier, create, keystore
from he_core import ceremony_files as files
from he_core.ceremony import Dealing, Joining, Proposal, Seat, fingerprint
from he_core.errors import BackendUnavailableError, HeCoreError, KeyFileError, PassphraseError
from he_core.frame import Participant
from he_core.scheme import ThresholdScheme, threshold_scheme
from he_core.threshold_errors import CeremonyError

MEMBERS = ("north", "south", "west")


def scheme_of(name: str, threshold: int = 2) -> ThresholdScheme:
    return threshold_scheme(create(name, parameters={"threshold": threshold, "clients": 3}, threads=1))


@dataclasses.dataclass
class Table:
    """A ceremony whose messages are all there."""

    scheme: ThresholdScheme
    proposal: Proposal
    seats: list[Seat]
    joinings: list[Joining]
    dealings: list[Dealing]

    def finish(self, index: int = 0) -> SecretBundle:
        return self.seats[index].finish(self.scheme, self.joinings, self.dealings)


@pytest.fixture(scope="module", params=["rlwe", "bfv"])
def held(request: pytest.FixtureRequest) -> Table:
    try:
        scheme = scheme_of(request.param)
    except BackendUnavailableError as error:
        pytest.skip(str(error))
    proposal = Proposal.fresh("lung", MEMBERS, scheme)
    seats = [Seat.take(proposal, member, scheme) for member in MEMBERS]
    joinings = [seat.joining() for seat in seats]
    return Table(scheme, proposal, seats, joinings, [seat.dealing(joinings) for seat in seats])


@pytest.fixture
def table(held: Table) -> Table:
    """One to be spoilt."""
    return Table(held.scheme, held.proposal, list(held.seats), list(held.joinings), list(held.dealings))


def test_all_members_end_with_one_public_key_one_group_secret_and_different_shares(held: Table) -> None:
    bundles = [held.finish(index) for index in range(3)]
    assert len({bundle.public.key_id for bundle in bundles}) == 1
    assert len({bundle.verification_key for bundle in bundles}) == 1
    assert len({bundle.material["share"] for bundle in bundles}) == 3
    assert len(bundles[0].verification_key or b"") == 32


def test_any_two_of_three_decrypt_a_verified_sum_under_the_ceremonys_key(held: Table) -> None:
    bundles = [held.finish(index) for index in range(3)]
    scheme = held.scheme
    keys = [scheme.secret_key(bundle) for bundle in bundles]
    codec = Codec(bits=16, k_max=4, lengths=(300,), limits=(1.0,), verified=True)
    verifiers = [Verifier(cast(bytes, bundle.verification_key), bytes(16)) for bundle in bundles]
    aggregator = Aggregator(scheme, scheme.public_key(bundles[0].public))
    aggregator.open(0, codec.shape)
    updates = [np.full(300, value, np.float32) for value in (0.5, -0.25, 0.125)]
    for client, update in enumerate(updates):
        encryptor = Encryptor(scheme, keys[client], verifier=verifiers[client])
        aggregator.add(encryptor.encrypt(update, codec, round=0, client=client))
    total = aggregator.result()
    entries = [Participant(client, 1) for client in range(3)]
    for pair in ((0, 1), (0, 2), (1, 2)):
        parts = [
            ShareHolder(scheme, keys[j]).partial(total, codec, round=0, holders=pair, participants=entries)
            for j in pair
        ]
        decryptor = Decryptor(scheme, keys[pair[0]], verifier=verifiers[pair[0]])
        mean = decryptor.decrypt(total, codec, round=0, participants=entries, partials=parts)
        np.testing.assert_allclose(mean, 0.125, atol=2e-5)


def test_messages_arrive_in_any_order(table: Table) -> None:
    expected = table.finish()
    table.joinings.reverse()
    table.dealings.reverse()
    assert table.finish() == expected


def test_no_message_and_no_repr_holds_a_share_or_a_secret(held: Table) -> None:
    text = repr(held)
    for seat, dealing in zip(held.seats, held.dealings, strict=True):
        sent = b"".join((dealing.public, dealing.secret_digest, *dealing.sealed))
        for secret in (seat.sealing_key, seat.secret, *(share[:64] for share in seat.deal.shares)):
            assert secret not in sent
            assert repr(secret)[2:22] not in text.replace(repr(sent), "")


# --- what does not keep to it


def _other(held: Table) -> Table:
    """The same seats taken anew."""
    seats = [Seat.take(held.proposal, member, held.scheme) for member in MEMBERS]
    joinings = [seat.joining() for seat in seats]
    return Table(held.scheme, held.proposal, seats, joinings, [seat.dealing(joinings) for seat in seats])


def test_a_key_part_chosen_after_the_others_were_seen_is_refused(table: Table) -> None:
    """The rogue key: south's part is another one than it committed to."""
    rogue = table.scheme.deal(table.proposal.public_seed).public
    table.dealings[1] = dataclasses.replace(table.dealings[1], public=rogue)
    with pytest.raises(CeremonyError, match="'south' did not keep to its commitment"):
        table.finish()


def test_a_joining_put_in_by_the_channel_changes_the_fingerprint_and_ends_the_ceremony(table: Table) -> None:
    before = fingerprint(table.proposal, table.joinings)
    table.joinings[2] = Seat.take(table.proposal, "west", table.scheme).joining()
    assert fingerprint(table.proposal, table.joinings) != before
    with pytest.raises(CeremonyError, match="of another ceremony, or of other joinings"):
        table.finish()


SPOILT: dict[str, Callable[[Dealing, Dealing], Dealing]] = {
    "a seal with a bit flipped": lambda mine, _: dataclasses.replace(
        mine, sealed=(bytes([mine.sealed[0][0] ^ 1]) + mine.sealed[0][1:], *mine.sealed[1:])
    ),
    "what was sealed for another": lambda mine, _: dataclasses.replace(mine, sealed=mine.sealed[::-1]),
    "what another sealed": lambda mine, other: dataclasses.replace(mine, sealed=other.sealed),
    "no seals": lambda mine, _: dataclasses.replace(mine, sealed=()),
    "another's secret digest": lambda mine, other: dataclasses.replace(mine, secret_digest=other.secret_digest),
}


@pytest.mark.parametrize("name", SPOILT)
def test_a_spoilt_dealing_is_refused_by_its_senders_name(table: Table, name: str) -> None:
    table.dealings[1] = SPOILT[name](table.dealings[1], table.dealings[2])
    with pytest.raises(CeremonyError, match="south"):
        table.finish()


def test_messages_of_another_ceremony_are_refused(held: Table, table: Table) -> None:
    table.dealings[1] = _other(held).dealings[1]
    with pytest.raises(CeremonyError, match="'south' is of another ceremony"):
        table.finish()
    foreign = Proposal.fresh("lung", MEMBERS, held.scheme)
    table.joinings[1] = Seat.take(foreign, "south", held.scheme).joining()
    with pytest.raises(CeremonyError, match="'south' is to another proposal"):
        table.seats[0].dealing(table.joinings)


def test_missing_repeated_and_unknown_members_are_named(held: Table) -> None:
    with pytest.raises(CeremonyError, match="missing are west"):
        held.seats[0].dealing(held.joinings[:2])
    with pytest.raises(CeremonyError, match="twice"):
        held.seats[0].dealing([*held.joinings, held.joinings[0]])
    with pytest.raises(CeremonyError, match="'east' is not among"):
        Seat.take(held.proposal, "east", held.scheme)
    with pytest.raises(CeremonyError, match="3 members with different names"):
        Proposal.fresh("lung", ("a", "a", "b"), held.scheme)


def test_a_proposal_for_other_parameters_is_refused(held: Table) -> None:
    other = scheme_of(held.scheme.name, 3)
    with pytest.raises(CeremonyError, match="threshold"):
        Seat.take(held.proposal, "north", other)


# --- files


@pytest.mark.parametrize("passphrase", [None, "correct horse"])
def test_everything_comes_back_from_its_file(held: Table, tmp_path: Path, passphrase: str | None) -> None:
    files.save_proposal(tmp_path / "p", held.proposal)
    files.save_joining(tmp_path / "j", held.joinings[1])
    files.save_dealing(tmp_path / "d", held.dealings[1])
    files.save_seat(tmp_path / "s", held.seats[1], passphrase)
    assert files.load_proposal(tmp_path / "p") == held.proposal
    assert files.load_joining(tmp_path / "j") == held.joinings[1]
    assert files.load_dealing(tmp_path / "d") == held.dealings[1]
    assert files.load_seat(tmp_path / "s", passphrase) == held.seats[1]
    assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o600


def test_a_seat_that_others_may_read_or_under_another_passphrase_is_refused(held: Table, tmp_path: Path) -> None:
    files.save_seat(tmp_path / "seat", held.seats[0], "correct horse")
    with pytest.raises(PassphraseError):
        files.load_seat(tmp_path / "seat", "battery staple")
    (tmp_path / "seat").chmod(0o640)
    with pytest.raises(KeyFileError, match="chmod 600"):
        files.load_seat(tmp_path / "seat", "correct horse")


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": "dcsfl ceremony joining 1"}', '{"format": 3}'])
def test_files_that_are_no_messages_are_refused_by_name(content: str, tmp_path: Path) -> None:
    path = tmp_path / "strange"
    path.write_text(content)
    path.chmod(0o600)
    for load in (files.load_proposal, files.load_joining, files.load_dealing, files.load_seat):
        with pytest.raises(HeCoreError, match="strange"):
            load(path)


def test_a_public_key_in_a_secret_file_is_told_apart(held: Table, tmp_path: Path) -> None:
    bundle = held.finish()
    keystore.save_secret(tmp_path / "secret", bundle, "correct horse")
    keystore.save_public(tmp_path / "public", bundle.public)
    assert keystore.load_either(tmp_path / "secret") == (bundle.public, True)
    assert keystore.load_either(tmp_path / "public") == (bundle.public, False)
