"""Messages as bytes: what goes in comes out, and whatever is not a message is refused."""

from __future__ import annotations

import random
from dataclasses import fields
from typing import get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from he_core.frame import Participant
from trainer.federation import commands
from trainer.federation.vocabulary import VOCABULARY
from trainer.parties import messages
from trainer.parties.messages import BatchPart, BodyActivations, HeadActivations, QuantisedTensor, RoundPlan
from trainer.transport.wire import MAX_DEPTH, MessageFormatError

PLAN = RoundPlan(3, (Participant(0, 5), Participant(2, 7)), (1,), 2)
EXAMPLES = (
    HeadActivations(1, BatchPart(2, 0, 0, 1), torch.arange(24.0).reshape(2, 3, 2, 2)),
    BodyActivations(torch.ones(1, 2, 3).bfloat16()),
    BodyActivations(QuantisedTensor(torch.arange(8, dtype=torch.int8).reshape(1, 2, 4), torch.tensor([0.5, 2.0]))),
    messages.EncryptedContribution(bytes(range(256))),
    messages.SumRequest(3, 9),
    messages.SealedPartials((b"one", b"", b"three")),
    commands.Contribute(PLAN),
    commands.HospitalJoined(
        "Ålesund", "one line", ("a", ""), 5, 2, 1, (96, 96), ("background", "tumour"), "ab" * 32, b"n" * 16
    ),
    commands.Evaluated({"dice": 0.75, "dice/tumour": -0.0}),
    commands.Costs(({"round": 1, "party": "x", "elapsed_ns": 5},), {"client-0 aggregation": 1 << 40}),
    commands.Done(),
)


def same(left, right):
    if isinstance(left, torch.Tensor):
        return left.dtype == right.dtype and torch.equal(left, right)
    if hasattr(left, "__dataclass_fields__"):
        return type(left) is type(right) and all(
            same(getattr(left, field.name), getattr(right, field.name)) for field in fields(left)
        )
    return left == right and type(left) is type(right)


@pytest.mark.parametrize("message", EXAMPLES, ids=lambda message: type(message).__name__)
def test_a_message_comes_back_as_it_was(message):
    assert same(VOCABULARY.decode(VOCABULARY.encode(message)), message)


def test_every_message_between_parties_can_cross():
    assert set(get_args(messages.Message)) <= set(VOCABULARY.classes)
    assert {*get_args(commands.Command), *get_args(commands.Report)} <= set(VOCABULARY.classes)


def test_a_part_of_a_batch_has_the_bytes_of_the_documentation():
    message = HeadActivations(7, BatchPart(3, 1, 0, 2), torch.tensor([[1.0, -2.0]]))
    assert VOCABULARY.encode(message) == (
        b"DCSM" + b"\x02" + b"\x01\x00"
        + b"\x01" + (7).to_bytes(8, "little")
        + b"\x09" + b"\x22\x00"
        + b"".join(b"\x01" + number.to_bytes(8, "little") for number in (3, 1, 0, 2))
        + b"\x05" + b"\x00\x02" + b"\x01\0\0\0" + b"\x02\0\0\0" + bytes.fromhex("0000803f 000000c0")
    )  # fmt: skip


@pytest.mark.parametrize("numbers", [(0, 0, 2, 2), (0, 0, -1, 2), (0, 0, 0, 0), (-1, 0, 0, 1), (0, -1, 0, 1)])
def test_a_part_that_cannot_be_is_refused(numbers):
    data = VOCABULARY.encode(HeadActivations(7, BatchPart(5, 5, 5, 6), torch.ones(1)))
    good, bad = ((b"".join(b"\x01" + n.to_bytes(8, "little", signed=True) for n in each)) for each in (
        (5, 5, 5, 6), numbers,
    ))  # fmt: skip
    assert data.count(good) == 1
    with pytest.raises(MessageFormatError, match="no part"):
        VOCABULARY.decode(data.replace(good, bad))


@settings(max_examples=60)
@given(
    st.sampled_from([torch.float32, torch.bfloat16, torch.int8, torch.int64]),
    st.lists(st.integers(0, 5), max_size=5),
    st.booleans(),
)
def test_tensors_of_every_shape_and_layout_come_back(dtype, shape, transposed):
    tensor = torch.randint(-100, 100, shape).to(dtype)
    if transposed and tensor.ndim > 1:
        tensor = tensor.transpose(0, -1)
    found = VOCABULARY.decode(VOCABULARY.encode(HeadActivations(0, BatchPart(0, 0, 0, 1), tensor))).activations
    assert same(found, tensor)


def test_a_received_tensor_can_be_written_to_without_touching_what_was_received():
    data = bytearray(VOCABULARY.encode(HeadActivations(0, BatchPart(0, 0, 0, 1), torch.ones(4))))
    before = bytes(data)
    VOCABULARY.decode(data).activations.zero_()
    assert bytes(data) == before


@pytest.mark.parametrize("message", EXAMPLES, ids=lambda message: type(message).__name__)
def test_every_truncation_and_every_appended_byte_is_refused(message):
    data = VOCABULARY.encode(message)
    for length in range(len(data)):
        with pytest.raises(MessageFormatError):
            VOCABULARY.decode(data[:length])
    with pytest.raises(MessageFormatError, match="1 bytes follow"):
        VOCABULARY.decode(data + b"\0")


def test_ten_thousand_damaged_messages_are_refused_or_are_other_messages():
    """Whatever comes, the parser raises its own error or makes a message of its own classes."""
    source = random.Random(11)
    encoded = [VOCABULARY.encode(message) for message in EXAMPLES]
    refused = 0
    for _ in range(10_000):
        data = bytearray(source.choice(encoded))
        for _ in range(source.randint(1, 8)):
            kind = source.randrange(4)
            at = source.randrange(len(data)) if data else 0
            if kind == 0 and data:
                data[at] = source.randrange(256)
            elif kind == 1:
                del data[at : at + source.randint(1, 9)]
            elif kind == 2:
                data[at:at] = source.randbytes(source.randint(1, 9))
            elif data:
                data[at : at + 4] = (0xFFFFFFFF).to_bytes(4, "little")
        try:
            assert type(VOCABULARY.decode(data)) in VOCABULARY.classes
        except MessageFormatError:
            refused += 1
    assert refused > 5_000


def test_ten_thousand_random_byte_strings_are_refused():
    source = random.Random(12)
    head = VOCABULARY.encode(commands.Done())[:5]
    for number in range(10_000):
        data = source.randbytes(source.randint(0, 200))
        with pytest.raises(MessageFormatError):
            VOCABULARY.decode(data if number % 2 else head + b"\xff" + data)


def test_a_length_that_is_not_there_is_refused_before_anything_is_made_of_it():
    data = bytearray(VOCABULARY.encode(messages.EncryptedSum(b"x" * 8)))
    data[-16:-8] = (1 << 62).to_bytes(8, "little")
    with pytest.raises(MessageFormatError, match="cut short"):
        VOCABULARY.decode(data)


def test_a_tensor_where_a_number_belongs_is_refused():
    data = VOCABULARY.encode(messages.SumRequest(1, 2))
    other = VOCABULARY.encode(HeadActivations(1, BatchPart(2, 0, 0, 1), torch.ones(1)))
    forged = other[:5] + data[5:7] + other[7:]  # the code of SumRequest, the fields of HeadActivations
    with pytest.raises(MessageFormatError):
        VOCABULARY.decode(forged)


def test_deep_nesting_is_refused():
    deep = {"": 0}
    for _ in range(MAX_DEPTH + 1):
        deep = {"": deep}
    with pytest.raises(MessageFormatError, match="nested"):
        VOCABULARY.decode(VOCABULARY.encode(commands.Costs((deep,), {})))


def test_a_message_over_the_receivers_limit_is_refused():
    data = VOCABULARY.encode(HeadActivations(0, BatchPart(0, 0, 0, 1), torch.zeros(1000)))
    with pytest.raises(MessageFormatError, match="at most"):
        VOCABULARY.decode(data, max_bytes=1000)


def test_an_object_of_another_class_does_not_leave():
    with pytest.raises(Exception, match="not to cross"):
        VOCABULARY.encode(torch.nn.Linear(1, 1))
