"""`FieldLayout`: what it refuses and what its errors carry."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from he_core.arith import fields as fields_module
from he_core.arith import fields_numba
from he_core.arith.fields import FieldLayout
from he_core.errors import FieldRangeError, ParameterError


@pytest.mark.parametrize(
    ("field_bits", "fields_per_word", "word_bytes", "named"),
    [
        (0, 1, 8, "field_bits"),
        (33, 1, 8, "field_bits"),
        (19, 0, 8, "fields_per_word"),
        (19, 4, 8, "word_bytes"),
        (19, 162, 384, "word_bytes"),
        (1, 1, 0, "word_bytes"),
    ],
)
def test_an_impossible_layout_is_refused_by_name(
    field_bits: int, fields_per_word: int, word_bytes: int, named: str
) -> None:
    with pytest.raises(ParameterError) as caught:
        FieldLayout(field_bits, fields_per_word, word_bytes)
    assert caught.value.name == named


@pytest.mark.parametrize(("count", "words"), [(0, 0), (1, 1), (3, 1), (4, 2), (6, 2), (7, 3)])
def test_word_count_rounds_up(count: int, words: int) -> None:
    assert FieldLayout(19, 3, 8).word_count(count) == words


def test_pack_lays_fields_out_from_the_lowest_bit() -> None:
    words = FieldLayout(4, 3, 2).pack(np.array([0x1, 0x2, 0x3, 0xF], np.uint32))
    assert words.tolist() == [[0x21, 0x03], [0x0F, 0x00]]


@pytest.mark.parametrize("layout", [FieldLayout(19, 161, 384), FieldLayout(19, 3, 8)])
def test_unpack_inverts_pack(layout: FieldLayout) -> None:
    fields = np.random.default_rng(0).integers(0, 2**19, 1000, dtype=np.uint32)
    words = layout.pack(fields)
    assert words.shape == (layout.word_count(1000), layout.word_bytes)
    np.testing.assert_array_equal(layout.unpack(words, 1000), fields)


def test_a_strided_vector_packs_like_its_copy() -> None:
    layout = FieldLayout(19, 3, 8)
    every_other = np.arange(100, dtype=np.uint32)[::2]
    np.testing.assert_array_equal(layout.pack(every_other), layout.pack(every_other.copy()))


def test_a_field_out_of_range_is_named_by_index_and_its_value_kept_out_of_the_message() -> None:
    fields = np.zeros(500, np.uint32)
    fields[[321, 400]] = 2**19 + 5
    with pytest.raises(FieldRangeError) as caught:
        FieldLayout(19, 161, 384).pack(fields)
    assert (caught.value.index, caught.value.field_bits) == (321, 19)
    assert str(2**19 + 5) not in str(caught.value)


@pytest.mark.parametrize(
    "fields", [np.zeros(3, np.int32), np.zeros(3, np.uint64), np.zeros((1, 3), np.uint32), np.zeros(3, ">u4")]
)
def test_pack_refuses_another_type_or_shape(fields: np.ndarray) -> None:
    with pytest.raises(ParameterError, match="fields="):
        FieldLayout(19, 3, 8).pack(fields)


@pytest.mark.parametrize("words", [np.zeros((1, 8), np.uint8), np.zeros((2, 7), np.uint8), np.zeros((2, 8), np.int8)])
def test_unpack_refuses_another_type_or_shape(words: np.ndarray) -> None:
    with pytest.raises(ParameterError, match="words="):
        FieldLayout(19, 3, 8).unpack(words, 4)


def test_unpack_refuses_a_negative_count() -> None:
    with pytest.raises(ParameterError, match="count=-1"):
        FieldLayout(19, 3, 8).unpack(np.zeros((0, 8), np.uint8), -1)


def test_field_range_error_is_the_same_on_numba(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fields_module, "KERNELS", replace(fields_module.KERNELS, fields=fields_numba))
    with pytest.raises(FieldRangeError, match="field 1 is outside"):
        FieldLayout(4, 2, 1).pack(np.array([1, 16], np.uint32))
