"""The ring's functions at their border: arrays, values and widths they refuse, and what they leave untouched."""

from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest

native = pytest.importorskip("he_core._native", reason="installed without a C compiler", exc_type=ImportError)

Q = 63 * 2**44 + 1


def residues(*shape: int) -> np.ndarray:
    return np.random.default_rng(7).integers(0, Q, shape, dtype=np.uint64)


def holding(array: np.ndarray, index: int, value: int) -> np.ndarray:
    array.reshape(-1)[index] = value
    return array


def readonly(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array


@pytest.mark.parametrize("transform", [native.forward, native.inverse], ids=["forward", "inverse"])
@pytest.mark.parametrize(
    ("poly", "error", "message"),
    [
        pytest.param(residues(16), ValueError, "degree 16 is no power of two in", id="too-small"),
        pytest.param(residues(8192), ValueError, "degree 8192 is no power of two in", id="too-large"),
        pytest.param(residues(48), ValueError, "degree 48 is no power of two in", id="no-power"),
        pytest.param(residues(0), ValueError, "degree 0 is no power of two in", id="empty"),
        pytest.param(residues(2, 0), ValueError, "degree 0 is no power of two in", id="empty-rows"),
        pytest.param(residues(2, 2, 32), BufferError, "poly has 3 dimension", id="3-d"),
        pytest.param(residues(64)[::2], BufferError, "poly is not C-contiguous", id="strided"),
        pytest.param(readonly(residues(64)), BufferError, "poly is read-only", id="readonly"),
        pytest.param(residues(64).astype(np.int64), BufferError, "poly has item format 'l'", id="signed"),
        pytest.param(residues(64).astype(float), BufferError, "poly has item format 'd'", id="float"),
        pytest.param([0] * 64, TypeError, "bytes-like|buffer", id="no-buffer"),
    ],
)
def test_a_transform_refuses_the_array(
    transform: Callable[..., None], poly: np.ndarray, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        transform(poly)


@pytest.mark.parametrize("transform", [native.forward, native.inverse], ids=["forward", "inverse"])
@pytest.mark.parametrize("value", [Q, Q + 1, 2**50, 2**63 - 1, 2**63, 2**63 + Q, 2**64 - 1])
@pytest.mark.parametrize("index", [0, 31, 32, 63, 95])
def test_a_transform_refuses_a_value_of_q_or_more_anywhere_and_writes_nothing(
    transform: Callable[..., None], value: int, index: int
) -> None:
    poly = holding(residues(3, 32), index, value)
    before = poly.copy()
    with pytest.raises(ValueError, match=r"poly holds a value outside \[0, q\)"):
        transform(poly)
    assert (poly == before).all()


@pytest.mark.parametrize(
    ("transformed", "factor", "message"),
    [
        pytest.param(residues(3, 32), residues(32), "transformed and out have different shapes", id="rows"),
        pytest.param(residues(2, 64), residues(32), "transformed and out have different shapes", id="columns"),
        pytest.param(
            residues(2, 32), residues(64), "out has polynomials of 32 values, factor one of 64", id="factor"
        ),
        pytest.param(residues(2, 32), residues(33), "degree 33 is no power of two", id="degree"),
        pytest.param(holding(residues(2, 32), 63, Q), residues(32), "transformed holds a value outside", id="value"),
        pytest.param(residues(2, 32), holding(residues(32), 31, Q), "factor holds a value outside", id="multiplier"),
    ],
)
def test_multiply_refuses_the_arguments_and_writes_nothing(
    transformed: np.ndarray, factor: np.ndarray, message: str
) -> None:
    out = residues(2, 32)
    before = out.copy()
    with pytest.raises(ValueError, match=message):
        native.multiply(out, transformed, factor)
    assert (out == before).all()


def test_multiply_refuses_shared_memory() -> None:
    block = residues(4, 32)
    with pytest.raises(ValueError, match="out and transformed share memory"):
        native.multiply(block[:2], block[1:3], residues(32))
    with pytest.raises(ValueError, match="out and transformed share memory"):
        native.multiply(block, block, residues(32))
    with pytest.raises(ValueError, match="out and factor share memory"):
        native.multiply(block[:2], residues(2, 32), block[1])
    native.multiply(block[:2], block[2:], block[3])  # what is only read may overlap


def cover(**changes: object) -> np.ndarray:
    """Call cover with one argument changed; the `out` it was given."""
    arguments: dict[str, object] = {
        "out": np.full(10, 5, np.uint64),
        "mask": residues(10),
        "errors": np.zeros(10, np.int8),
        "words": np.arange(10, dtype=np.uint64),
        "plaintext_bits": 20,
        "dropped_bits": 4,
    } | changes
    out = arguments["out"]
    assert isinstance(out, np.ndarray)
    before = out.copy()
    try:
        native.cover(**arguments)
    except (ValueError, BufferError):
        assert (out == before).all()
        raise
    return out


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"mask": residues(9)}, ValueError, "mask and out have different shapes, of 9 and 10 values"),
        ({"words": residues(11)}, ValueError, "words and out have different shapes"),
        ({"errors": np.zeros(11, np.int8)}, ValueError, "errors and out have different shapes"),
        ({"errors": np.zeros(10, np.uint8)}, BufferError, "errors has item format 'B'"),
        ({"mask": holding(residues(10), 9, Q)}, ValueError, "mask holds a value outside"),
        ({"words": holding(residues(10) * np.uint64(0), 9, 2**20)}, ValueError, r"words holds a value outside"),
        ({"words": holding(residues(10) * np.uint64(0), 0, 2**63)}, ValueError, r"outside \[0, 2\*\*20\)"),
        ({"plaintext_bits": -1}, ValueError, "plaintext_bits=-1 is outside"),
        ({"plaintext_bits": 45}, ValueError, "plaintext_bits=45 is outside"),
        ({"dropped_bits": -1}, ValueError, "dropped_bits=-1 is outside"),
        ({"dropped_bits": 25}, ValueError, r"dropped_bits=25 is outside \[0, 24\]"),
        ({"target": "sse9"}, ValueError, "target='sse9' cannot run here"),
        ({"out": readonly(residues(10))}, BufferError, "out is read-only"),
        ({"out": residues(2, 5)}, BufferError, "out has 2 dimension"),
    ],
)
def test_cover_refuses_the_arguments_and_writes_nothing(
    changes: dict[str, object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        cover(**changes)


def test_the_widest_words_are_allowed() -> None:
    words = np.full(10, 2**44 - 1, np.uint64)
    cover(words=words, plaintext_bits=44, dropped_bits=0)
    cover(words=words * np.uint64(0), plaintext_bits=0, dropped_bits=44)


def test_cover_refuses_arrays_that_share_part_of_their_memory() -> None:
    for name in ("mask", "words"):
        block = residues(21) % np.uint64(2**20)
        with pytest.raises(ValueError, match=f"out and {name} share memory"):
            cover(out=block[1:11], **{name: block[:10]})
        cover(out=block[1:11], **{name: block[1:11]})
    with pytest.raises(ValueError, match="out and errors share memory"):
        cover(out=block[:10], errors=block.view(np.int8)[:10])


def test_uncover_refuses_a_mask_out_of_range_and_takes_any_sums() -> None:
    out, sums = np.full(10, 5, np.uint64), np.full(10, 2**64 - 1, np.uint64)
    with pytest.raises(ValueError, match="mask holds a value outside"):
        native.uncover(out, holding(residues(10), 3, Q), sums, 20, 4)
    assert (out == 5).all()
    with pytest.raises(ValueError, match="sums and out have different shapes"):
        native.uncover(out, residues(10), sums[1:], 20, 4)
    native.uncover(out, residues(10), sums, 20, 4)


def test_reduce_refuses_a_width_and_an_array_it_does_not_know() -> None:
    with pytest.raises(ValueError, match=r"dropped_bits=45 is outside \[0, 44\]"):
        native.reduce(residues(10), 45)
    with pytest.raises(BufferError, match="words has 2 dim"):
        native.reduce(residues(2, 5), 4)


def test_buffers_are_released_after_success_and_after_refusal() -> None:
    poly = bytearray(residues(32).tobytes())
    native.forward(memoryview(poly).cast("Q"))
    with pytest.raises(ValueError, match="degree 16"):
        native.forward(memoryview(poly).cast("Q")[:16])
    with pytest.raises(ValueError, match="share memory"):
        native.multiply(
            memoryview(poly).cast("B").cast("Q", (1, 32)),
            memoryview(poly).cast("B").cast("Q", (1, 32)),
            memoryview(poly).cast("Q"),
        )
    gc.collect()
    poly.append(0)  # a bytearray with an exported buffer refuses to grow


def test_the_tables_go_with_the_module() -> None:
    code = (
        "import gc, sys, numpy, he_core._native as native\n"
        "native.forward(numpy.zeros(32, numpy.uint64))\n"
        "del native, sys.modules['he_core._native']\n"
        "gc.collect()\n"
        "import he_core._native as native\n"
        "native.forward(numpy.zeros(32, numpy.uint64)); print('done')"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.stdout.split() == ["done"], run.stderr
