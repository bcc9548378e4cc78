"""`he_core._native.checksum` at its border: the buffers, sizes and targets that it refuses."""

from __future__ import annotations

import numpy as np
import pytest

native = pytest.importorskip("he_core._native", reason="installed without a C compiler", exc_type=ImportError)

POINT, FIELDS = np.zeros(16, np.uint8), np.zeros(10, np.uint32)
MISALIGNED = np.zeros(41, np.uint8)[1:].view(np.uint32)


@pytest.mark.parametrize(
    ("point", "fields", "field_bits", "error", "message"),
    [
        pytest.param(POINT[:15], FIELDS, 19, ValueError, "point has 15 bytes, expected 16", id="short-point"),
        pytest.param(bytes(17), FIELDS, 19, ValueError, "point has 17 bytes, expected 16", id="long-point"),
        pytest.param(POINT.view(np.int8), FIELDS, 19, BufferError, "point has item format", id="int8-point"),
        pytest.param(POINT, FIELDS.view(np.int32), 19, BufferError, "fields has item format", id="int32"),
        pytest.param(POINT, FIELDS[::2], 19, BufferError, "fields is not C-contiguous", id="strided"),
        pytest.param(POINT, FIELDS.reshape(2, 5), 19, BufferError, "fields has 2 dimension", id="two-dimensions"),
        pytest.param(POINT, MISALIGNED, 19, BufferError, "fields is not aligned|format", id="misaligned"),
        pytest.param(POINT, [1, 2], 19, TypeError, "bytes-like|buffer", id="no-buffer"),
        pytest.param(POINT, FIELDS, 0, ValueError, "field_bits=0 is outside", id="no-width"),
        pytest.param(POINT, FIELDS, 33, ValueError, "field_bits=33 is outside", id="wide"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(
    point: object, fields: object, field_bits: int, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        native.checksum(point, fields, field_bits)


def test_a_target_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="target='none'"):
        native.checksum(POINT, FIELDS, 19, target="none")


@pytest.mark.parametrize("target", native.targets())
@pytest.mark.parametrize("count", [0, 1, 2, 127, 128, 129, 1001])
@pytest.mark.parametrize("field_bits", [1, 29, 30, 32])
def test_exactly_the_fields_there_are_are_read(target: str, count: int, field_bits: int) -> None:
    """Under the sanitizers a read beyond them would be an error."""
    fields = np.zeros(count, np.uint32)
    assert native.checksum(bytes(range(16)), fields, field_bits, target=target) == 0
