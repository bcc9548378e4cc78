"""Every coefficient kernel that runs here, C targets and numba, against a plain-Python twin; and C at its border."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from he_core.arith import coefficients_numba

NUMBA_TWIN = coefficients_numba  # for conftest.py, which makes the parameter `kernels`

COUNTS = (0, 1, 2, 7, 8, 9, 15, 16, 17, 63, 64, 65, 200)


def twin_pack(words: list[int], width: int) -> bytes:
    """The bit stream as one big integer."""
    stream = sum(word << i * width for i, word in enumerate(words))
    return stream.to_bytes(-(-len(words) * width // 8), "little")


def sample_words(count: int, limit: int) -> np.ndarray:
    """uint64[count]: 0 and the largest among random ones below `limit`."""
    rng = np.random.default_rng([count, limit])
    words = rng.integers(0, limit, count, dtype=np.uint64)
    is_edge = rng.random(count) < 0.3
    words[is_edge] = rng.choice(np.array([0, limit - 1], np.uint64), int(is_edge.sum()))
    return words


def pack(kernels: Any, words: np.ndarray, width: int) -> bytes:
    out = np.full(-(-words.size * width // 8), 0xA5, np.uint8)
    kernels.pack_coefficients(out, words, width)
    return out.tobytes()


def unpack(kernels: Any, packed: bytes, count: int, width: int, limit: int) -> list[int]:
    out = np.full(count, 0xA5A5A5A5, np.uint64)
    kernels.unpack_coefficients(out, np.frombuffer(packed, np.uint8), width, limit)
    return out.tolist()


@pytest.mark.parametrize("width", range(1, 57))
def test_pack_and_unpack_agree_with_the_twin_at_every_width(kernels: Any, width: int) -> None:
    for count in COUNTS:
        for limit in (2**width, 2**width // 2 + 1, 1):
            words = sample_words(count, limit)
            packed = twin_pack(words.tolist(), width)
            assert pack(kernels, words, width) == packed, count
            assert unpack(kernels, packed, count, width, limit) == words.tolist(), (count, limit)


@given(st.integers(1, 56), st.data())
@settings(deadline=None)
def test_any_words_round_trip_through_the_twins_bytes(kernels: Any, width: int, data: st.DataObject) -> None:
    words = data.draw(st.lists(st.integers(0, 2**width - 1), max_size=60))
    packed = pack(kernels, np.array(words, np.uint64), width)
    assert packed == twin_pack(words, width)
    assert unpack(kernels, packed, len(words), width, 2**width) == words


@pytest.mark.parametrize("width", [5, 32, 43, 56])
def test_the_first_coefficient_at_the_limit_is_named_wherever_it_is(kernels: Any, width: int) -> None:
    count, limit = 45, 2**width * 3 // 4
    for index in range(count):
        words = sample_words(count, limit)
        words[index] = limit
        words[index + 1 :: 3] = 2**width - 1  # later ones do not count
        out = np.zeros(count, np.uint64)
        with pytest.raises(OverflowError, match=f"coefficient {index} is outside") as caught:
            kernels.unpack_coefficients(out, np.frombuffer(twin_pack(words.tolist(), width), np.uint8), width, limit)
        assert caught.value.args[1] == index
        assert out[:index].tolist() == words[:index].tolist()


@pytest.mark.parametrize("width", [3, 7, 43, 56])
def test_a_word_out_of_range_is_caught_at_every_place_and_out_is_wiped(kernels: Any, width: int) -> None:
    count = 29
    for index in range(count):
        for bad in (2**width, 2**63):
            words = sample_words(count, 2**width)
            words[index] = bad
            out = np.full(-(-count * width // 8), 0xA5, np.uint8)
            with pytest.raises(ValueError, match=rf"a word is outside \[0, 2\*\*{width}\)"):
                kernels.pack_coefficients(out, words, width)
            assert not out.any()


@pytest.mark.parametrize("width", [1, 3, 43, 55])
def test_a_set_padding_bit_is_refused_and_nothing_written(kernels: Any, width: int) -> None:
    for count in (1, 3, 9, 15, 17):
        packed = np.frombuffer(twin_pack([0] * count, width), np.uint8)
        for bit in range(count * width, 8 * packed.size):
            altered = packed.copy()
            altered[-1] |= 1 << bit % 8
            out = np.full(count, 7, np.uint64)
            with pytest.raises(ValueError, match=f"padding bits after {count} coefficients of {width} bits"):
                kernels.unpack_coefficients(out, altered, width, 1)
            assert (out == 7).all()


def test_packed_bytes_need_no_alignment_and_no_write_access(kernels: Any) -> None:
    words = sample_words(100, 2**43)
    frame = b"\x00" * 3 + twin_pack(words.tolist(), 43)
    out = np.zeros(100, np.uint64)
    kernels.unpack_coefficients(out, np.frombuffer(frame, np.uint8, offset=3), 43, 2**43)
    assert out.tolist() == words.tolist()


# --- the border of the C functions ----------------------------------------------------------------


@pytest.fixture
def native() -> Any:
    return pytest.importorskip("he_core._native", reason="installed without a C compiler", exc_type=ImportError)


def filled(size: int, dtype: type = np.uint8) -> np.ndarray:
    return np.full(size, 0xA5, dtype)


@pytest.mark.parametrize(
    ("out", "words", "width", "error", "message"),
    [
        pytest.param(filled(53), filled(10, np.uint64), 43, ValueError, "53 bytes, expected 54", id="short"),
        pytest.param(filled(55), filled(10, np.uint64), 43, ValueError, "55 bytes, expected 54", id="long"),
        pytest.param(filled(54), filled(10, np.uint64), 0, ValueError, "width=0", id="no-width"),
        pytest.param(filled(54), filled(10, np.uint64), 57, ValueError, "width=57", id="wide"),
        pytest.param(filled(54), filled(10, np.int64), 43, BufferError, "words has item format", id="signed"),
        pytest.param(filled(54), filled(20, np.uint64)[::2], 43, BufferError, "words is not C", id="strided"),
        pytest.param(filled(108)[::2], filled(10, np.uint64), 43, BufferError, "out is not C", id="strided-out"),
        pytest.param(b"\xa5" * 54, filled(10, np.uint64), 43, BufferError, "out is read-only", id="read-only"),
    ],
)
def test_pack_refuses_the_arguments_and_writes_nothing(
    native: Any, out: Any, words: np.ndarray, width: int, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        native.pack_coefficients(out, words, width)
    assert set(bytes(out)) == {0xA5}


@pytest.mark.parametrize("limit", [0, -1, 2**43 + 1, 2**64, 2**70])
def test_unpack_refuses_a_limit_that_the_width_does_not_hold(native: Any, limit: int) -> None:
    out = filled(10, np.uint64)
    with pytest.raises(ValueError, match=rf"limit={limit} is outside \[1, 2\*\*43\]"):
        native.unpack_coefficients(out, np.zeros(54, np.uint8), 43, limit)
    assert (out == 0xA5).all()


def test_unpack_refuses_other_sizes_targets_and_shared_memory(native: Any) -> None:
    out, packed = filled(10, np.uint64), np.zeros(54, np.uint8)
    with pytest.raises(ValueError, match="packed has 53 bytes, expected 54 for 10 coefficients of 43 bits"):
        native.unpack_coefficients(out, packed[:53], 43, 1)
    with pytest.raises(ValueError, match="target='sse9' cannot run here"):
        native.unpack_coefficients(out, packed, 43, 1, target="sse9")
    with pytest.raises(ValueError, match="out and packed share memory"):
        native.unpack_coefficients(out, out.view(np.uint8)[:54], 43, 1)
    with pytest.raises(ValueError, match="out and words share memory"):
        native.pack_coefficients(out.view(np.uint8)[:54], out, 43)
    assert (out == 0xA5).all()
