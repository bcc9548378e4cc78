"""Packing and fixed-base powers over random layouts, against plain Python integers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from he_core.arith.fields import FieldLayout
from he_core.arith.fixed_base import FixedBaseTable
from he_core.errors import FieldRangeError, ValueCountError
from he_core.packing import PackedFields, Reals


@st.composite
def layouts(draw: st.DrawFn) -> FieldLayout:
    field_bits, fields_per_word = draw(st.integers(1, 32)), draw(st.integers(1, 60))
    least = -(-field_bits * fields_per_word // 8)
    return FieldLayout(field_bits, fields_per_word, least + draw(st.integers(0, 9)))


@given(layouts(), st.integers(0, 200), st.integers(0, 2**32))
def test_fields_come_back_from_the_words_that_big_integers_make(layout: FieldLayout, count: int, seed: int) -> None:
    fields = np.random.default_rng(seed).integers(0, 1 << layout.field_bits, count, dtype=np.uint64).astype(np.uint32)
    packed = PackedFields(layout)
    words = packed.pack(fields)
    per_word = layout.fields_per_word
    expected = [
        sum(int(field) << layout.field_bits * i for i, field in enumerate(fields[start : start + per_word]))
        for start in range(0, count, per_word)
    ]
    assert [int.from_bytes(word.tobytes(), "little") for word in words] == expected
    assert words.shape == (packed.word_count(count), packed.word_bytes)
    np.testing.assert_array_equal(packed.unpack(words, count), fields)


@given(layouts(), st.integers(1, 100), st.integers(2, 6), st.integers(0, 2**32))
def test_words_added_as_integers_are_their_fields_added(
    layout: FieldLayout, count: int, addends: int, seed: int
) -> None:
    top = ((1 << layout.field_bits) - 1) // addends
    generator = np.random.default_rng(seed)
    parts = [generator.integers(0, top, count, dtype=np.uint64, endpoint=True) for _ in range(addends)]
    words = [layout.pack(part.astype(np.uint32)) for part in parts]
    totals = [sum(int.from_bytes(word[row].tobytes(), "little") for word in words) for row in range(len(words[0]))]
    summed = np.array([list(total.to_bytes(layout.word_bytes, "little")) for total in totals], np.uint8)
    np.testing.assert_array_equal(layout.unpack(summed, count), sum(parts))


def test_a_field_out_of_range_is_named() -> None:
    layout = FieldLayout(5, 3, 2)
    with pytest.raises(FieldRangeError) as refusal:
        PackedFields(layout).pack(np.array([31, 1, 32, 99], np.uint32))
    assert (refusal.value.index, refusal.value.field_bits) == (2, 5)


@given(st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=50))
def test_real_numbers_come_back_bit_for_bit(values: list[float]) -> None:
    numbers, reals = np.array(values, np.float32), Reals()
    words = reals.pack(numbers)
    assert words.shape == (reals.word_count(len(values)), reals.word_bytes)
    assert reals.unpack(words, len(values)).tobytes() == numbers.tobytes()
    with pytest.raises(ValueCountError):
        reals.unpack(words, len(values) + 1)


@settings(max_examples=40)
@given(
    modulus=st.integers(3, 2**200).map(lambda value: value | 1),
    base=st.integers(1, 2**200),
    exponent_bytes=st.integers(1, 40),
    window_bits=st.integers(4, 10),
    data=st.data(),
)
def test_a_fixed_base_power_is_the_power(
    modulus: int, base: int, exponent_bytes: int, window_bits: int, data: st.DataObject
) -> None:
    bits = 8 * exponent_bytes
    exponents = data.draw(st.lists(st.integers(0, (1 << bits) - 1), min_size=1, max_size=4))
    exponents += [0, (1 << bits) - 1]
    table = FixedBaseTable(base % modulus, modulus, bits, window_bits)
    rows = np.array([list(exponent.to_bytes(exponent_bytes, "little")) for exponent in exponents], np.uint8)
    for digits, exponent in zip(table.digits(rows), exponents, strict=True):
        assert table.power(digits.tolist()) == pow(base, exponent, modulus)
