"""The Paillier functions of `he_core._native` at their border: what they refuse, and that nothing is written then."""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
import pytest

native = pytest.importorskip("he_core._native", reason="installed without a C compiler", exc_type=ImportError)

BITS, WINDOW = 2048, 4
LIMB_BITS, LIMBS, PRIME_LIMBS, ENTRY_BYTES, _ = native.paillier_shape(BITS)
DIGITS = BITS // 2 // WINDOW


def constants(words: int) -> np.ndarray:
    return np.ones(words, np.uint64)


def rows(count: int, size: int, fill: int = 1) -> np.ndarray:
    return np.full((count, size), fill, np.uint8)


def table(limbs: int, *, shift: int = 0) -> np.ndarray:
    size = DIGITS * 3 * limbs * ENTRY_BYTES << WINDOW
    block = np.zeros(size + 128, np.uint8)
    start = -block.ctypes.data % 64 + shift
    return block[start : start + size].reshape(DIGITS, -1)


def encryption() -> dict[str, object]:
    return {
        "out": rows(3, BITS // 4, 0xA5),
        "words": rows(3, BITS // 8),
        "randomisers": rows(3, BITS // 16),
        "public": constants(10 * LIMBS),
        "table": table(LIMBS),
        "window_bits": WINDOW,
    }


def encryption_with_factors() -> dict[str, object]:
    prime = {name: constants(20 * PRIME_LIMBS) for name in ("p", "q")}
    tables = {name: table(PRIME_LIMBS) for name in ("p_table", "q_table")}
    shared = {name: value for name, value in encryption().items() if name not in ("public", "table")}
    return shared | prime | tables | {"joint": constants(10 * PRIME_LIMBS)}


def addition() -> dict[str, object]:
    return {
        "out": rows(3, BITS // 4, 0xA5),
        "left": rows(3, BITS // 4),
        "right": rows(3, BITS // 4),
        "public": constants(10 * LIMBS),
    }


def decryption() -> dict[str, object]:
    prime = {name: constants(20 * PRIME_LIMBS) for name in ("p", "q")}
    joint = {"joint": constants(10 * PRIME_LIMBS)}
    return {"out": rows(3, BITS // 8, 0xA5), "ciphertexts": rows(3, BITS // 4)} | prime | joint


def building() -> dict[str, object]:
    return {
        "out": table(LIMBS),
        "constants": constants(6 * LIMBS + 2),
        "base": constants(3 * LIMBS),
        "modulus_bits": BITS,
        "window_bits": WINDOW,
    }


CALLS: dict[str, Callable[[], dict[str, object]]] = {
    "paillier_encrypt": encryption,
    "paillier_encrypt_with_factors": encryption_with_factors,
    "paillier_add": addition,
    "paillier_decrypt": decryption,
    "paillier_table": building,
}
ARRAYS = [
    (function, name)
    for function, make in CALLS.items()
    for name, value in make().items()
    if isinstance(value, np.ndarray)
]


def refuse(function: str, error: type[Exception], message: str, **changes: object) -> None:
    arguments = CALLS[function]() | changes
    out = arguments["out"]
    assert isinstance(out, np.ndarray)
    before = out.copy()
    with pytest.raises(error, match=message):
        getattr(native, function)(**arguments)
    np.testing.assert_array_equal(out, before)


@pytest.mark.parametrize("function", CALLS)
def test_the_unchanged_arguments_are_taken(function: str) -> None:
    getattr(native, function)(**CALLS[function]())


@pytest.mark.parametrize(("function", "name"), ARRAYS)
def test_an_array_of_another_length_is_refused_by_name(function: str, name: str) -> None:
    array = CALLS[function]()[name]
    assert isinstance(array, np.ndarray)
    # Some rows give the call its count and its modulus: another count is seen at the next array.
    leads = name in ("words", "left", "ciphertexts")
    for axis in range(array.ndim):
        message = ["(randomisers|right|out) has shape", "modulus_bits"][axis] if leads else name
        refuse(function, ValueError, message, **{name: array.take(range(array.shape[axis] - 1), axis)})


@pytest.mark.parametrize(("function", "name"), ARRAYS)
def test_an_array_of_another_type_or_layout_is_refused_by_name(function: str, name: str) -> None:
    array = CALLS[function]()[name]
    assert isinstance(array, np.ndarray)
    refuse(function, BufferError, f"{name} has item format", **{name: array.astype(np.int16)})
    refuse(function, BufferError, f"{name} is not C-contig", **{name: np.repeat(array, 2, axis=-1)[..., ::2]})
    refuse(function, BufferError, f"{name} has . dimension", **{name: array[None]})


@pytest.mark.parametrize("function", CALLS)
def test_a_read_only_out_is_refused(function: str) -> None:
    out = CALLS[function]()["out"]
    assert isinstance(out, np.ndarray)
    out.flags.writeable = False
    refuse(function, BufferError, "out is read-only", out=out)


@pytest.mark.parametrize("function", CALLS)
def test_a_target_that_does_not_run_is_refused(function: str) -> None:
    refuse(function, ValueError, "target='vax'", target="vax")


@pytest.mark.parametrize("function", [name for name in CALLS if "window_bits" in CALLS[name]()])
@pytest.mark.parametrize("window_bits", [-1, 0, 3, 9, sys.maxsize])
def test_a_window_out_of_range_is_refused(function: str, window_bits: int) -> None:
    refuse(function, ValueError, "window_bits", window_bits=window_bits)


@pytest.mark.parametrize("bits", [0, -256, 1792, 2049, 8448, sys.maxsize])
def test_a_modulus_size_out_of_range_is_refused(bits: int) -> None:
    with pytest.raises(ValueError, match="modulus_bits"):
        native.paillier_shape(bits)
    refuse("paillier_table", ValueError, "modulus_bits", modulus_bits=bits)


def test_a_table_that_is_not_aligned_is_refused() -> None:
    refuse("paillier_encrypt", ValueError, "table is not aligned", table=table(LIMBS, shift=8))


def test_an_out_that_shares_memory_with_an_input_is_refused() -> None:
    block = rows(6, BITS // 4)
    refuse("paillier_add", ValueError, "out and left share memory", out=block[:3], left=block[2:5])
    refuse("paillier_add", ValueError, "out and right share memory", out=block[:3], right=block[:3])


def test_a_bound_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="bound has 511 bytes, expected 512"):
        native.paillier_first_outside(rows(1, 512), np.ones(511, np.uint8))
