"""The samplers' border to Python: what they refuse, and that nothing has been written then."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

native = pytest.importorskip("he_core._native", reason="installed without a C compiler", exc_type=ImportError)

SEED = bytes(32)


def filled(*shape: int, dtype: type = np.uint8) -> np.ndarray:
    array = np.empty(shape, dtype)
    array.view(np.uint8)[...] = 0xA5
    return array


def readonly(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array


def bytes_out() -> np.ndarray:
    return filled(128)


def samples() -> np.ndarray:
    return filled(128, dtype=np.int8)


def rows() -> np.ndarray:
    return filled(2, 8, dtype=np.uint64)


# Per function: a good `out` and good arguments after it.
GOOD: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "chacha20": (bytes_out, (SEED, 1, 2, 3)),
    "sample_gaussian": (samples, (SEED, 1, 2, "wide")),
    "map_gaussian": (samples, (bytes(6 * 128), "wide")),
    "expand_uniform": (rows, (SEED, 1, 2)),
}
every_function = pytest.mark.parametrize("function", list(GOOD))
every_stream_function = pytest.mark.parametrize("function", ["chacha20", "sample_gaussian", "expand_uniform"])


def refuse(
    function: str, error: type[Exception], message: str, out: np.ndarray, *arguments: Any, **named: Any
) -> None:
    before = out.tobytes()
    with pytest.raises(error, match=message):
        getattr(native, function)(out, *arguments, **named)
    assert out.tobytes() == before


@every_function
def test_good_arguments_are_taken_and_out_is_filled(function: str) -> None:
    make, arguments = GOOD[function]
    out = make()
    before = out.tobytes()
    getattr(native, function)(out, *arguments)
    assert out.tobytes() != before


@every_function
def test_a_wrong_out_is_refused(function: str) -> None:
    make, arguments = GOOD[function]
    out = make()
    refuse(function, BufferError, "out has item format", out.view(np.float64), *arguments)
    refuse(function, BufferError, "out is read-only", readonly(make()), *arguments)
    refuse(function, BufferError, "out has 3 dimension", out[None, ..., None].reshape(1, 1, -1), *arguments)
    refuse(function, BufferError, "out is not C-contiguous", make()[..., ::2], *arguments)
    with pytest.raises(TypeError, match=r"bytes-like|buffer"):
        getattr(native, function)([1, 2], *arguments)


@every_function
def test_an_unknown_target_is_refused(function: str) -> None:
    make, arguments = GOOD[function]
    refuse(function, ValueError, "target='sse9' cannot run here", make(), *arguments, target="sse9")


@every_stream_function
@pytest.mark.parametrize(
    ("seed", "error", "message"),
    [
        pytest.param(bytes(31), ValueError, "seed has 31 bytes, expected 32", id="short"),
        pytest.param(bytes(33), ValueError, "seed has 33 bytes, expected 32", id="long"),
        pytest.param(np.zeros(32, np.int8), BufferError, "seed has item format 'b'", id="int8"),
        pytest.param(np.zeros((4, 8), np.uint8), BufferError, "seed has 2 dimension", id="2-d"),
        pytest.param(np.zeros(64, np.uint8)[::2], BufferError, "seed is not C-contiguous", id="strided"),
        pytest.param("x" * 32, TypeError, "bytes-like|buffer", id="text"),
    ],
)
def test_a_wrong_seed_is_refused(function: str, seed: object, error: type[Exception], message: str) -> None:
    make, (_, *others) = GOOD[function]
    refuse(function, error, message, make(), seed, *others)


@every_stream_function
@pytest.mark.parametrize(
    ("at", "name", "value"),
    [(1, "domain", -1), (1, "domain", 2**32), (2, "index", -1), (2, "index", 2**64), (2, "index", 2**200)],
)
def test_a_stream_name_out_of_range_is_refused(function: str, at: int, name: str, value: int) -> None:
    make, arguments = GOOD[function]
    changed = [*arguments[:at], value, *arguments[at + 1 :]]
    refuse(function, ValueError, rf"{name}={value} is outside \[0, ", make(), *changed)


@every_stream_function
def test_a_stream_name_that_is_no_integer_is_refused(function: str) -> None:
    make, arguments = GOOD[function]
    refuse(function, TypeError, "integer", make(), arguments[0], 1.0, *arguments[2:])
    refuse(function, TypeError, "integer", make(), *arguments[:2], "2", *arguments[3:])


@every_stream_function
def test_a_seed_inside_out_is_refused(function: str) -> None:
    make, (_, *others) = GOOD[function]
    out = make()
    seed = out.view(np.uint8).reshape(-1)[16:48]
    refuse(function, ValueError, "out and seed share memory", out, seed, *others)


def test_blocks_are_whole_and_end_with_the_stream() -> None:
    refuse("chacha20", ValueError, "out has 65 bytes, expected a multiple of 64", filled(65), SEED, 0, 0, 0)
    refuse("chacha20", ValueError, r"first_block=4294967296 is outside \[0, ", filled(64), SEED, 0, 0, 2**32)
    refuse("chacha20", ValueError, "2 blocks from first_block=4294967295 on pass", filled(128), SEED, 0, 0, 2**32 - 1)


def test_samples_come_in_whole_groups() -> None:
    for count in (1, 63, 65):
        out = filled(count, dtype=np.int8)
        refuse("sample_gaussian", ValueError, f"out has {count} samples", out, SEED, 0, 0, "narrow")
        refuse("map_gaussian", ValueError, f"out has {count} samples", out, bytes(6 * count), "narrow")


def test_a_width_is_one_of_two_names() -> None:
    refuse(
        "sample_gaussian",
        ValueError,
        r"width='wider' is none of \('narrow', 'wide'\)",
        samples(),
        SEED,
        0,
        0,
        "wider",
    )
    refuse("map_gaussian", ValueError, "width='' is none", samples(), bytes(6 * 128), "")
    refuse("sample_gaussian", TypeError, "str", samples(), SEED, 0, 0, 1)


def test_the_mapping_wants_six_bytes_a_sample_apart_from_out() -> None:
    refuse("map_gaussian", ValueError, "stream has 767 bytes, expected 768", samples(), bytes(767), "wide")
    refuse("map_gaussian", ValueError, "stream has 769 bytes, expected 768", samples(), bytes(769), "wide")
    block = filled(6 * 64)
    refuse("map_gaussian", ValueError, "out and stream share memory", block[-64:].view(np.int8), block, "wide")


def test_streams_of_rows_end_with_the_last_index() -> None:
    out = filled(3, 8, dtype=np.uint64)
    refuse("expand_uniform", ValueError, "3 streams from first_index=18446744073709551614", out, SEED, 0, 2**64 - 2)
    native.expand_uniform(out[:2], SEED, 0, 2**64 - 2)


def test_buffers_are_released_after_success_and_after_refusal() -> None:
    out, seed = bytearray(64), bytearray(32)
    native.chacha20(out, seed, 0, 0, 0)
    for arguments in ((seed, 0, 0, 2**32), (seed, 2**32, 0, 0), (out, 0, 0, 0), (seed[:31], 0, 0, 0)):
        with pytest.raises(ValueError, match=r"outside|expected"):
            native.chacha20(out, *arguments)
    out.append(0)  # a bytearray with an exported buffer refuses to grow
    seed.append(0)
    with pytest.raises(ValueError, match="out has 65 bytes"):
        native.chacha20(out, bytes(32), 0, 0, 0)
    out.append(0)


def test_references_do_not_leak() -> None:
    index = 2**64 - 12345
    before = sys.getrefcount(index)
    for _ in range(10):
        native.chacha20(bytearray(64), SEED, 0, index, 0)
        with pytest.raises(ValueError, match="domain"):
            native.chacha20(bytearray(64), SEED, index, 0, 0)
    assert sys.getrefcount(index) == before
