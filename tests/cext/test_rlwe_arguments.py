"""The border of rlwe's functions on vectors: what they refuse, and that nothing has been written then."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import pytest

native = pytest.importorskip("he_core._native", reason="installed without a C compiler", exc_type=ImportError)

Q = 63 * 2**44 + 1
DEGREE = 64
COUNT = 100  # coefficients
FIELDS = 2 * COUNT
ROWS = 2  # polynomials that cover so many coefficients
PACKED_BYTES = COUNT * 44 // 8


def residues(*shape: int) -> np.ndarray:
    return np.random.default_rng(7).integers(0, Q, shape, dtype=np.uint64)


def holding(array: np.ndarray, index: int, value: int) -> np.ndarray:
    array.reshape(-1)[index] = value
    return array


def readonly(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array


def filled(count: int, dtype: type = np.uint8) -> np.ndarray:
    return np.full(count * np.dtype(dtype).itemsize, 0xA5, np.uint8).view(dtype)


def misaligned(count: int, dtype: type = np.uint64) -> np.ndarray:
    return np.zeros(count * np.dtype(dtype).itemsize + 1, np.uint8)[1:].view(dtype)


def arguments(function: str) -> dict[str, Any]:
    """Good arguments, `out` first."""
    if function == "encrypt_polynomials":
        return {
            "out": filled(PACKED_BYTES),
            "fields": np.arange(FIELDS, dtype=np.uint32),
            "polynomials": residues(ROWS, DEGREE),
            "factor": residues(DEGREE),
            "seed": bytes(32),
            "domain": 7,
            "first_index": 3,
            "field_bits": 19,
            "fields_per_coefficient": 2,
            "dropped_bits": 6,
        }
    return {
        "out": filled(FIELDS, np.uint32),
        "sums": np.full(COUNT, 2**64 - 1, np.uint64),
        "polynomials": residues(ROWS, DEGREE),
        "factor": residues(DEGREE),
        "field_bits": 19,
        "fields_per_coefficient": 2,
        "dropped_bits": 6,
    }


FUNCTIONS = ("encrypt_polynomials", "decrypt_polynomials")
every_function = pytest.mark.parametrize("function", FUNCTIONS)


def refuse(function: str, error: type[Exception], message: str, **changes: Any) -> None:
    """Call `function` with some arguments changed: it raises and leaves `out`, and what lies around it, alone."""
    changed = arguments(function) | changes
    out = changed["out"]
    whole = out if out.base is None else out.base
    before = whole.tobytes()
    with pytest.raises(error, match=message):
        getattr(native, function)(**changed)
    assert whole.tobytes() == before


def refuse_and_wipe(function: str, message: str, error: type[Exception] = ValueError, **changes: Any) -> None:
    """The same for a value found on the way: `out` is all zeros, and what lies around it as before."""
    changed = arguments(function) | changes
    whole = filled(changed["out"].nbytes + 16)
    changed["out"] = whole[8:-8].view(changed["out"].dtype)
    with pytest.raises(error, match=message):
        getattr(native, function)(**changed)
    assert not changed["out"].any()
    assert whole[:8].tolist() == whole[-8:].tolist() == [0xA5] * 8


@every_function
def test_good_arguments_are_taken_and_out_is_filled(function: str) -> None:
    good = arguments(function)
    before = good["out"].tobytes()
    getattr(native, function)(**good)
    assert good["out"].tobytes() != before


# --- arrays

# (name, array, error, message): refused by both functions
SHARED_ARRAYS = [
    pytest.param("polynomials", residues(ROWS * DEGREE), BufferError, "polynomials has 1 dimension", id="flat"),
    pytest.param("polynomials", residues(1, ROWS, DEGREE), BufferError, "polynomials has 3 dimension", id="3-d"),
    pytest.param("polynomials", residues(ROWS, DEGREE).view(np.int64), BufferError, "item format 'l'", id="signed"),
    pytest.param("polynomials", residues(ROWS, DEGREE).astype(float), BufferError, "item format 'd'", id="float"),
    pytest.param("polynomials", residues(ROWS, DEGREE).astype(">u8"), BufferError, "item format '>", id="big-endian"),
    pytest.param("polynomials", residues(ROWS, 2 * DEGREE)[:, ::2], BufferError, "not C-contiguous", id="strided"),
    pytest.param("polynomials", residues(DEGREE, ROWS).T, BufferError, "not C-contiguous", id="fortran"),
    pytest.param(
        "polynomials", misaligned(ROWS * DEGREE).reshape(ROWS, DEGREE), BufferError, "aligned|format", id="misaligned"
    ),
    pytest.param("polynomials", [[0] * DEGREE] * ROWS, TypeError, "bytes-like|buffer", id="no-buffer"),
    pytest.param(
        "polynomials", residues(1, DEGREE), ValueError, "1 polynomials of degree 64 do not", id="a-row-less"
    ),
    pytest.param(
        "polynomials", residues(3, DEGREE), ValueError, "3 polynomials of degree 64 do not", id="a-row-more"
    ),
    pytest.param("polynomials", residues(0, DEGREE), ValueError, "0 polynomials of degree 64 do not", id="no-row"),
    pytest.param("polynomials", residues(ROWS, DEGREE - 1), ValueError, "factor has 64 coeff", id="columns"),
    pytest.param("factor", residues(1, DEGREE), BufferError, "factor has 2 dimension", id="factor-2-d"),
    pytest.param(
        "factor", residues(DEGREE).view(np.int64), BufferError, "factor has item format 'l'", id="factor-i64"
    ),
    pytest.param("factor", residues(2 * DEGREE)[::2], BufferError, "factor is not C-contiguous", id="factor-strided"),
    pytest.param("factor", misaligned(DEGREE), BufferError, "aligned|format", id="factor-misaligned"),
    pytest.param("factor", None, TypeError, "bytes-like|buffer", id="factor-none"),
    pytest.param("factor", residues(DEGREE - 1), ValueError, "factor has 63 coefficients", id="factor-short"),
    pytest.param("factor", residues(DEGREE + 1), ValueError, "factor has 65 coefficients", id="factor-long"),
    pytest.param("factor", residues(0), ValueError, "factor has 0 coefficients", id="factor-empty"),
]


@every_function
@pytest.mark.parametrize(("name", "array", "error", "message"), SHARED_ARRAYS)
def test_wrong_polynomials_and_factors_are_refused(
    function: str, name: str, array: object, error: type[Exception], message: str
) -> None:
    refuse(function, error, message, **{name: array})


@every_function
def test_a_wrong_out_is_refused(function: str) -> None:
    def out() -> np.ndarray:
        return arguments(function)["out"]

    dtype, size = out().dtype, out().size
    refuse(function, BufferError, "out has item format", out=filled(size, np.float64))
    refuse(function, BufferError, "out has item format", out=out().view(np.dtype(dtype.str.replace("u", "i"))))
    refuse(function, BufferError, "out is read-only", out=readonly(out()))
    refuse(function, BufferError, "out has 2 dimension", out=out()[None])
    refuse(function, BufferError, "out is not C-contiguous", out=filled(2 * size, dtype.type)[::2])
    refuse(function, BufferError, "out is not C-contiguous", out=out()[::-1])
    less = 2 if function == "decrypt_polynomials" else 1  # one field may be missing from the last coefficient
    refuse(function, ValueError, f"out has {size - less} ", out=filled(size - less, dtype.type))
    refuse(function, ValueError, f"out has {size + 1} ", out=filled(size + 1, dtype.type))
    refuse(function, ValueError, "out has 0 ", out=filled(0, dtype.type))
    with pytest.raises(TypeError, match=r"bytes-like|buffer"):
        getattr(native, function)(**arguments(function) | {"out": [0] * size})


@every_function
def test_wrong_fields_and_sums_are_refused(function: str) -> None:
    name, at_once, dtype = ("fields", 2, np.uint32) if function == "encrypt_polynomials" else ("sums", 1, np.uint64)
    other, signed = (np.uint64, np.int32) if dtype is np.uint32 else (np.uint32, np.int64)
    count = COUNT * at_once

    def refuse_it(error: type[Exception], message: str, array: object) -> None:
        refuse(function, error, message, **{name: array})

    zeros = np.zeros(2 * count, dtype)
    refuse_it(BufferError, f"{name} has item format '{np.dtype(signed).char}'", zeros[:count].view(signed))
    refuse_it(BufferError, f"{name} has item format 'd'", np.zeros(count))
    refuse_it(BufferError, f"{name} has item format '{np.dtype(other).char}'", np.zeros(count, other))
    refuse_it(BufferError, f"{name} has 2 dimension", zeros[:count].reshape(2, -1))
    refuse_it(BufferError, f"{name} has 0 dimension", dtype(1))
    refuse_it(BufferError, f"{name} is not C-contiguous", zeros[::2])
    refuse_it(BufferError, "aligned|format", misaligned(count, dtype))
    refuse_it(TypeError, "bytes-like|buffer", [0] * count)
    refuse_it(ValueError, "out has", zeros[: count - at_once])
    refuse_it(ValueError, "out has", zeros[: count + 1])
    refuse_it(ValueError, "2 polynomials of degree 64 do not go with 64 coefficients", zeros[: 64 * at_once])
    refuse_it(ValueError, "2 polynomials of degree 64 do not go with 129 coefficients", zeros[: 129 * at_once])
    refuse_it(ValueError, "2 polynomials of degree 64 do not go with 0 coefficients", zeros[:0])


@every_function
@pytest.mark.parametrize(
    ("degree", "message"),
    [
        (0, "degree 0 is no power of two in"),
        (1, "degree 1 is no power of two in"),
        (16, "degree 16 is no power of two in"),
        (96, "degree 96 is no power of two in"),
        (8192, "degree 8192 is no power of two in"),
        (32, "degree 32 is not a multiple of 64"),
    ],
)
def test_a_degree_that_is_none_is_refused(function: str, degree: int, message: str) -> None:
    rows = -(-COUNT // degree) if degree else 0
    refuse(function, ValueError, message, polynomials=residues(rows, degree), factor=residues(degree))


# --- values


@every_function
@pytest.mark.parametrize("value", [Q, Q + 1, 2**50, 2**63 - 1, 2**63, 2**63 + Q, 2**64 - 1])
def test_a_value_of_q_or_more_is_refused_wherever_it_lies(function: str, value: int) -> None:
    for index in (0, 1, 62, 63):
        refuse(function, ValueError, "factor holds a value outside", factor=holding(residues(DEGREE), index, value))
    for index in (0, 63, 64, COUNT - 1, COUNT, ROWS * DEGREE - 1):  # those past the coefficients too
        wrong = holding(residues(ROWS, DEGREE), index, value)
        refuse_and_wipe(function, "polynomials holds a value outside", polynomials=wrong)


@pytest.mark.parametrize("index", [0, 1, 127, 128, FIELDS - 1])
@pytest.mark.parametrize("value", [2**19, 2**25, 2**31, 2**32 - 1])
def test_a_field_of_too_many_bits_is_refused_wherever_it_lies(index: int, value: int) -> None:
    fields = holding(np.zeros(FIELDS, np.uint32), index, value)
    message = r"a field is outside \[0, 2\*\*19\)"
    refuse_and_wipe("encrypt_polynomials", message, error=OverflowError, fields=fields)


def test_the_largest_values_are_allowed() -> None:
    good = arguments("encrypt_polynomials")
    good["polynomials"][...] = good["factor"][...] = Q - 1
    native.encrypt_polynomials(**good | {"fields": np.full(FIELDS, 2**19 - 1, np.uint32)})
    good = arguments("decrypt_polynomials")
    good["polynomials"][...] = good["factor"][...] = Q - 1
    native.decrypt_polynomials(**good)


# --- numbers


@every_function
@pytest.mark.parametrize(
    ("field_bits", "fields_per_coefficient", "dropped_bits", "message"),
    [
        (-1, 2, 6, r"field_bits=-1 is outside \[1, 32\]"),
        (0, 2, 6, "field_bits=0 is outside"),
        (33, 1, 0, "field_bits=33 is outside"),
        (19, 0, 6, r"fields_per_coefficient=0 is outside \[1, 2\], for fields of 19 bits"),
        (19, -1, 6, "fields_per_coefficient=-1 is outside"),
        (19, 3, 0, "fields_per_coefficient=3 is outside"),
        (1, 45, 0, r"fields_per_coefficient=45 is outside \[1, 44\]"),
        (19, 2, -1, "dropped_bits=-1 is outside"),
        (19, 2, 7, r"dropped_bits=7 is outside \[0, 6\]"),
        (1, 1, 44, r"dropped_bits=44 is outside \[0, 43\]"),
        (2**31 - 1, 2**31 - 1, 2**31 - 1, "field_bits=2147483647 is outside"),
        (19, 2**31 - 1, 0, "fields_per_coefficient=2147483647 is outside"),
        (-(2**31), 1, 0, "field_bits=-2147483648 is outside"),
    ],
)
def test_a_layout_out_of_range_is_refused(
    function: str, field_bits: int, fields_per_coefficient: int, dropped_bits: int, message: str
) -> None:
    layout = {
        "field_bits": field_bits,
        "fields_per_coefficient": fields_per_coefficient,
        "dropped_bits": dropped_bits,
    }
    refuse(function, ValueError, message, **layout)


@every_function
def test_numbers_are_integers(function: str) -> None:
    for name in ("field_bits", "fields_per_coefficient", "dropped_bits"):
        refuse(function, TypeError, "integer", **{name: 6.0})
        refuse(function, OverflowError, "int", **{name: 2**80})
    refuse(function, TypeError, "argument|missing", target=3)


@every_function
def test_an_unknown_target_is_refused(function: str) -> None:
    refuse(function, ValueError, "target='sse9' cannot run here", target="sse9")


@pytest.mark.parametrize(
    ("seed", "error", "message"),
    [
        pytest.param(b"", ValueError, "seed has 0 bytes, expected 32", id="empty"),
        pytest.param(bytes(31), ValueError, "seed has 31 bytes, expected 32", id="short"),
        pytest.param(bytes(33), ValueError, "seed has 33 bytes, expected 32", id="long"),
        pytest.param(np.zeros(32, np.int8), BufferError, "seed has item format 'b'", id="int8"),
        pytest.param(np.zeros((4, 8), np.uint8), BufferError, "seed has 2 dimension", id="2-d"),
        pytest.param(np.zeros(64, np.uint8)[::2], BufferError, "seed is not C-contiguous", id="strided"),
        pytest.param("x" * 32, TypeError, "bytes-like|buffer", id="text"),
    ],
)
def test_a_wrong_seed_is_refused(seed: object, error: type[Exception], message: str) -> None:
    refuse("encrypt_polynomials", error, message, seed=seed)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("domain", -1, r"domain=-1 is outside \[0, 4294967295\]"),
        ("domain", 2**32, "domain=4294967296 is outside"),
        ("first_index", -1, "index=-1 is outside"),
        ("first_index", 2**64, "index=18446744073709551616 is outside"),
        ("first_index", 2**200, "is outside"),
        ("first_index", 2**64 - 1, r"2 streams from first_index=18446744073709551615 on pass the last one"),
    ],
)
def test_a_stream_out_of_range_is_refused(name: str, value: int, message: str) -> None:
    refuse("encrypt_polynomials", ValueError, message, **{name: value})


def test_a_streams_name_is_of_integers() -> None:
    refuse("encrypt_polynomials", TypeError, "integer", domain=7.0)
    refuse("encrypt_polynomials", TypeError, "integer", first_index="3")


# --- memory


def test_encrypt_refuses_shared_memory() -> None:
    for name in ("fields", "polynomials", "factor"):
        good = arguments("encrypt_polynomials")[name]
        block = np.zeros(good.nbytes + 8 * PACKED_BYTES, np.uint8)
        array = block[: good.nbytes].view(good.dtype).reshape(good.shape)
        for start in (0, max(0, good.nbytes - PACKED_BYTES), good.nbytes - 1):
            out = block[start : start + PACKED_BYTES]
            refuse("encrypt_polynomials", ValueError, f"out and {name} share memory", out=out, **{name: array})
        out = block[good.nbytes : good.nbytes + PACKED_BYTES]
        native.encrypt_polynomials(**arguments("encrypt_polynomials") | {"out": out, name: array})
    out = filled(PACKED_BYTES)
    refuse("encrypt_polynomials", ValueError, "out and seed share memory", out=out, seed=out[-32:])


def test_decrypt_refuses_shared_memory() -> None:
    for name in ("sums", "polynomials", "factor"):
        good = arguments("decrypt_polynomials")[name]
        block = np.zeros(good.nbytes + 4 * FIELDS, np.uint8)
        array = block[: good.nbytes].view(good.dtype).reshape(good.shape)
        for start in (0, good.nbytes - 4):
            out = block[start : start + 4 * FIELDS].view(np.uint32)
            refuse("decrypt_polynomials", ValueError, f"out and {name} share memory", out=out, **{name: array})
        out = block[good.nbytes :].view(np.uint32)
        native.decrypt_polynomials(**arguments("decrypt_polynomials") | {"out": out, name: array})


def test_what_is_only_read_may_overlap() -> None:
    polynomials = np.zeros((ROWS, DEGREE), np.uint64)
    fields = polynomials.reshape(-1).view(np.uint32)[:FIELDS]
    shared = {"polynomials": polynomials, "factor": polynomials[1], "fields": fields}
    native.encrypt_polynomials(**arguments("encrypt_polynomials") | shared)


def test_buffers_are_released_after_success_and_after_refusal() -> None:
    out, fields, sums = bytearray(PACKED_BYTES), bytearray(4 * FIELDS), bytearray(8 * COUNT)
    polynomials, factor, seed = bytearray(8 * ROWS * DEGREE), bytearray(8 * DEGREE), bytearray(32)
    shared = {
        "polynomials": memoryview(polynomials).cast("B").cast("Q", (ROWS, DEGREE)),
        "factor": memoryview(factor).cast("Q"),
    }
    views = shared | {"fields": memoryview(fields).cast("I")}
    native.encrypt_polynomials(**arguments("encrypt_polynomials") | views | {"out": out, "seed": seed})
    for name in ("fields", "polynomials", "factor", "seed", "out"):
        wrong = {"fields": views["fields"][:5], "polynomials": residues(1, 64), "factor": residues(2)}
        wrong |= {"seed": seed[:31], "out": out[:-1]}
        changed = views | {"out": out, "seed": seed, name: wrong[name]}
        with pytest.raises(ValueError, match=r"has|do not"):
            native.encrypt_polynomials(**arguments("encrypt_polynomials") | changed)
    views = shared | {"sums": memoryview(sums).cast("Q")}
    decoded = bytearray(4 * FIELDS)
    out_view = memoryview(decoded).cast("I")
    native.decrypt_polynomials(**arguments("decrypt_polynomials") | views | {"out": out_view})
    with pytest.raises(ValueError, match="out has"):
        native.decrypt_polynomials(**arguments("decrypt_polynomials") | views | {"out": out_view[2:]})
    del views, shared, changed, wrong, out_view
    gc.collect()
    for array in (out, fields, sums, polynomials, factor, seed, decoded):
        array.append(0)  # a bytearray with an exported buffer refuses to grow
