"""Every field kernel that runs here, C targets and numba, against a plain-Python twin."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from he_core.arith import fields_numba
from he_core.arith.fields import FieldLayout


@dataclass(frozen=True)
class Kernels:
    """A pair of kernels under test; a target of the C ones is fixed by `partial`."""

    name: str
    pack_fields: Callable[..., None]
    unpack_fields: Callable[..., None]


def _kernels_here() -> list[Kernels]:
    found = [Kernels("numba", fields_numba.pack_fields, fields_numba.unpack_fields)]
    try:
        native = importlib.import_module("he_core._native")
    except ModuleNotFoundError:  # installed without a compiler: numba is all there is to test
        return found
    return found + [
        Kernels(
            name,
            partial(native.pack_fields, target=name),
            partial(native.unpack_fields, target=name),
        )
        for name in native.targets()
    ]


KERNELS = _kernels_here()
every_kernel = pytest.mark.parametrize("kernels", KERNELS, ids=lambda kernels: kernels.name)


def twin_pack(fields: list[int], layout: FieldLayout) -> list[bytes]:
    """The words of `fields`, one at a time, as one big integer each."""
    words = []
    for first in range(0, len(fields), layout.fields_per_word):
        word = 0
        for i, field in enumerate(fields[first : first + layout.fields_per_word]):
            word |= field << (i * layout.field_bits)
        words.append(word.to_bytes(layout.word_bytes, "little"))
    return words


def twin_unpack(words: list[bytes], count: int, layout: FieldLayout) -> list[int]:
    fields = []
    for i in range(count):
        word = int.from_bytes(words[i // layout.fields_per_word], "little")
        fields.append(word >> (i % layout.fields_per_word * layout.field_bits) & (2**layout.field_bits - 1))
    return fields


def pack(kernels: Kernels, fields: np.ndarray, layout: FieldLayout) -> np.ndarray:
    # Filled beforehand, so that a byte left unwritten shows.
    out = np.full((layout.word_count(fields.size), layout.word_bytes), 0xA5, np.uint8)
    kernels.pack_fields(out, fields, layout.field_bits, layout.fields_per_word, layout.word_bytes)
    return out


def unpack(kernels: Kernels, words: np.ndarray, count: int, layout: FieldLayout) -> np.ndarray:
    out = np.full(count, 0xA5A5A5A5, np.uint32)
    kernels.unpack_fields(out, words, layout.field_bits, layout.fields_per_word, layout.word_bytes)
    return out


def sample_fields(count: int, field_bits: int) -> np.ndarray:
    """uint32[count]: 0, 1 and the largest field among random ones."""
    rng = np.random.default_rng(count * 64 + field_bits)
    fields = rng.integers(0, 2**field_bits, count, dtype=np.uint64)
    edges = np.array([0, 1, 2**field_bits - 1], np.uint64)
    is_edge = rng.random(count) < 0.3
    fields[is_edge] = rng.choice(edges, int(is_edge.sum()))
    return fields.astype(np.uint32)


def layouts_of_width(field_bits: int) -> list[FieldLayout]:
    """As many fields as fit 384, 8 and 37 bytes; a few in 8 bytes, not filling them."""
    layouts = [FieldLayout(field_bits, 8 * size // field_bits, size) for size in (384, 8, 37)]
    few = min(5, 64 // field_bits)
    return [*layouts, FieldLayout(field_bits, few, 8), FieldLayout(field_bits, 1, 8)]


def counts_of(layout: FieldLayout) -> list[int]:
    k = layout.fields_per_word
    return sorted({0, 1, 7, 8, 9, k - 1, k, k + 1, 3 * k + 1, 4 * k - 1, 4 * k + 4, 9 * k + 2})


@every_kernel
@pytest.mark.parametrize("field_bits", range(1, 33))
def test_pack_and_unpack_agree_with_the_twin_at_every_width(kernels: Kernels, field_bits: int) -> None:
    for layout in layouts_of_width(field_bits):
        for count in counts_of(layout):
            fields = sample_fields(count, field_bits)
            words = pack(kernels, fields, layout)
            expected = twin_pack(fields.tolist(), layout)
            assert [bytes(word) for word in words] == expected, (layout, count)
            assert unpack(kernels, words, count, layout).tolist() == fields.tolist(), (layout, count)


@every_kernel
@pytest.mark.parametrize(
    "layout",
    [
        pytest.param(FieldLayout(19, 161, 384), id="paillier-3072"),
        pytest.param(FieldLayout(19, 3, 8), id="plain"),
    ],
)
def test_the_shapes_in_use_agree_with_the_twin_over_many_words(kernels: Kernels, layout: FieldLayout) -> None:
    count = 20 * layout.fields_per_word + 11
    fields = sample_fields(count, layout.field_bits)
    words = pack(kernels, fields, layout)
    assert [bytes(word) for word in words] == twin_pack(fields.tolist(), layout)
    assert unpack(kernels, words, count, layout).tolist() == fields.tolist()


@every_kernel
@pytest.mark.parametrize("layout", [FieldLayout(19, 161, 384), FieldLayout(19, 3, 8), FieldLayout(5, 7, 9)])
def test_unpack_ignores_unused_bits_and_padding_fields(kernels: Kernels, layout: FieldLayout) -> None:
    count = 4 * layout.fields_per_word + 2
    words = np.full((layout.word_count(count), layout.word_bytes), 0xFF, np.uint8)
    assert unpack(kernels, words, count, layout).tolist() == [2**layout.field_bits - 1] * count
    noise = np.random.default_rng(1).integers(0, 256, words.shape, dtype=np.uint8)
    expected = twin_unpack([bytes(word) for word in noise], count, layout)
    assert unpack(kernels, noise, count, layout).tolist() == expected


@every_kernel
@pytest.mark.parametrize("layout", [FieldLayout(19, 161, 384), FieldLayout(19, 3, 8), FieldLayout(31, 8, 31)])
def test_a_field_out_of_range_is_caught_at_every_place_and_out_is_wiped(
    kernels: Kernels, layout: FieldLayout
) -> None:
    count = 2 * layout.fields_per_word + 13
    for index in range(count):
        fields = sample_fields(count, layout.field_bits)
        fields[index] = 2**layout.field_bits
        out = np.full((layout.word_count(count), layout.word_bytes), 0xA5, np.uint8)
        with pytest.raises(OverflowError, match=rf"2\*\*{layout.field_bits}"):
            kernels.pack_fields(out, fields, layout.field_bits, layout.fields_per_word, layout.word_bytes)
        assert not out.any()


@every_kernel
def test_every_value_above_the_width_is_out_of_range(kernels: Kernels) -> None:
    layout = FieldLayout(30, 2, 8)
    for bad in (2**30, 2**31, 2**32 - 1):
        with pytest.raises(OverflowError):
            pack(kernels, np.array([0, 1, bad], np.uint32), layout)


@every_kernel
def test_words_need_no_alignment_and_no_write_access(kernels: Kernels) -> None:
    layout = FieldLayout(19, 3, 8)
    fields = sample_fields(100, 19)
    frame = b"\x00" * 3 + b"".join(twin_pack(fields.tolist(), layout))
    words = np.frombuffer(frame, np.uint8, offset=3).reshape(-1, 8)
    assert unpack(kernels, words, 100, layout).tolist() == fields.tolist()


@st.composite
def layouts_and_fields(draw: st.DrawFn) -> tuple[FieldLayout, list[int]]:
    field_bits = draw(st.integers(1, 32))
    word_bytes = draw(st.integers(-(-field_bits // 8), 48))
    fields_per_word = draw(st.integers(1, 8 * word_bytes // field_bits))
    fields = draw(st.lists(st.integers(0, 2**field_bits - 1), max_size=100))
    return FieldLayout(field_bits, fields_per_word, word_bytes), fields


@every_kernel
@given(case=layouts_and_fields())
@settings(deadline=None)
def test_any_layout_round_trips_through_the_twins_words(
    kernels: Kernels, case: tuple[FieldLayout, list[int]]
) -> None:
    layout, fields = case
    words = pack(kernels, np.array(fields, np.uint32), layout)
    assert [bytes(word) for word in words] == twin_pack(fields, layout)
    assert unpack(kernels, words, len(fields), layout).tolist() == fields
