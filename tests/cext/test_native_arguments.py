"""`he_core._native` at its border: buffers, sizes and targets it refuses, and what it leaves untouched."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import numpy as np
import pytest

native = pytest.importorskip("he_core._native", reason="installed without a C compiler", exc_type=ImportError)

LAYOUT = (19, 3, 8)


def filled(*shape: int) -> np.ndarray:
    return np.full(shape, 0xA5, np.uint8)


def fields(count: int = 10) -> np.ndarray:
    return np.arange(count, dtype=np.uint32)


def readonly(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array


def misaligned() -> np.ndarray:
    return np.zeros(4 * 10 + 1, np.uint8)[1:].view(np.uint32)


@pytest.mark.parametrize(
    ("out", "source", "error", "message"),
    [
        pytest.param(filled(3, 8), fields(), ValueError, r"\(3, 8\), expected \(4, 8\)", id="word-too-few"),
        pytest.param(filled(5, 8), fields(), ValueError, r"\(5, 8\), expected \(4, 8\)", id="word-too-many"),
        pytest.param(filled(4, 9), fields(), ValueError, r"\(4, 9\), expected \(4, 8\)", id="wrong-word-size"),
        pytest.param(filled(32), fields(), BufferError, "out has 1 dimension", id="flat-out"),
        pytest.param(filled(4, 8).view(np.int8), fields(), BufferError, "out has item format 'b'", id="int8"),
        pytest.param(filled(4, 16)[:, ::2], fields(), BufferError, "out is not C-contig", id="strided-out"),
        pytest.param(readonly(filled(4, 8)), fields(), BufferError, "out is read-only", id="readonly-out"),
        pytest.param(filled(4, 8), fields().view(np.int32), BufferError, "fields has item format 'i'", id="i32"),
        pytest.param(filled(4, 8), fields().astype(">u4"), BufferError, "fields has item format '>I'", id="be"),
        pytest.param(filled(4, 8), fields(20)[::2], BufferError, "fields is not C-contig", id="strided-fields"),
        pytest.param(filled(4, 8), fields().reshape(2, 5), BufferError, "fields has 2 dim", id="2-d-fields"),
        pytest.param(filled(4, 8), misaligned(), BufferError, "fields is not aligned|format", id="misaligned"),
        pytest.param(filled(4, 8), [1, 2], TypeError, "bytes-like|buffer", id="no-buffer"),
    ],
)
def test_pack_refuses_the_array_and_writes_nothing(
    out: np.ndarray, source: object, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        native.pack_fields(out, source, *LAYOUT)
    assert (out.view(np.uint8) == 0xA5).all()


@pytest.mark.parametrize(
    ("out", "words", "error", "message"),
    [
        pytest.param(fields(), filled(3, 8), ValueError, r"words has shape \(3, 8\), expected \(4, 8\)", id="few"),
        pytest.param(readonly(fields()), filled(4, 8), BufferError, "out is read-only", id="readonly-out"),
        pytest.param(fields(20)[::2], filled(4, 8), BufferError, "out is not C-contig", id="strided-out"),
        pytest.param(fields().view(np.int32), filled(4, 8), BufferError, "out has item format", id="int32"),
        pytest.param(fields(), filled(4, 8).T.copy().T, BufferError, "words is not C-contig", id="fortran"),
    ],
)
def test_unpack_refuses_the_array_and_writes_nothing(
    out: np.ndarray, words: np.ndarray, error: type[Exception], message: str
) -> None:
    before = out.copy()
    with pytest.raises(error, match=message):
        native.unpack_fields(out, words, *LAYOUT)
    assert (out == before).all()


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        ((0, 3, 8), "field_bits=0"),
        ((33, 1, 8), "field_bits=33"),
        ((19, 0, 8), "fields_per_word=0"),
        ((19, 3, 0), "word_bytes=0"),
        ((19, 4, 8), "4 fields of 19 bits do not fit a word of 8 bytes"),
        ((32, sys.maxsize, 8), "do not fit"),
        ((1, 1, sys.maxsize), "do not fit"),
    ],
)
def test_an_impossible_layout_is_a_value_error(layout: tuple[int, int, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        native.pack_fields(filled(4, 8), fields(), *layout)


def test_arrays_that_share_memory_are_refused() -> None:
    block = np.zeros(64, np.uint8)
    with pytest.raises(ValueError, match="out and fields share memory"):
        native.pack_fields(block[:32].reshape(4, 8), block[24:64].view(np.uint32), *LAYOUT)
    with pytest.raises(ValueError, match="out and words share memory"):
        native.unpack_fields(block[24:64].view(np.uint32), block[:32].reshape(4, 8), *LAYOUT)


def test_neighbours_in_one_block_do_not_share_memory() -> None:
    block = np.zeros(72, np.uint8)
    native.pack_fields(block[:32].reshape(4, 8), block[32:].view(np.uint32), *LAYOUT)


def test_any_exporter_of_buffers_is_taken() -> None:
    out = bytearray(32)
    native.pack_fields(memoryview(out).cast("B", (4, 8)), memoryview(fields().tobytes()).cast("I"), *LAYOUT)
    expected = filled(4, 8)
    native.pack_fields(expected, fields(), *LAYOUT)
    assert out == expected.tobytes()


def test_buffers_are_released_after_success_and_after_refusal() -> None:
    out = bytearray(32)
    native.pack_fields(memoryview(out).cast("B", (4, 8)), fields(), *LAYOUT)
    with pytest.raises(OverflowError):
        native.pack_fields(memoryview(out).cast("B", (4, 8)), fields() + np.uint32(2**19), *LAYOUT)
    with pytest.raises(ValueError, match="expected"):
        native.pack_fields(memoryview(out).cast("B", (4, 8)), fields(13), *LAYOUT)
    out.append(0)  # a bytearray with an exported buffer refuses to grow


def test_portable_always_runs_and_the_target_in_use_is_among_those_that_run() -> None:
    assert native.targets()[0] == "portable"
    assert native.target() in native.targets()


def test_a_target_that_cannot_run_is_refused_with_those_that_can() -> None:
    with pytest.raises(ValueError, match=r"target='sse9' cannot run here.*portable"):
        native.pack_fields(filled(4, 8), fields(), *LAYOUT, target="sse9")


def test_threads_pack_at_once_without_mixing() -> None:
    inputs = [np.full(30_000, i, np.uint32) for i in range(4)]
    outs = [np.empty((10_000, 8), np.uint8) for _ in inputs]
    threads = [
        threading.Thread(target=native.pack_fields, args=(out, source, *LAYOUT))
        for out, source in zip(outs, inputs, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i, out in enumerate(outs):
        expected = i | i << 19 | i << 38
        assert (out.view(np.uint64) == expected).all()


def target_under_cap(cap: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "import he_core._native as native; print(native.target())"],
        env=os.environ | {"DCSFL_CPU_TARGET": cap},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_cap_lowers_the_target_to_portable() -> None:
    run = target_under_cap("portable")
    assert run.stdout.split() == ["portable"], run.stderr


def test_the_cap_never_raises_the_target_above_what_runs() -> None:
    run = target_under_cap("avx2")  # a known name is a valid cap on any machine
    assert run.stdout.split() == ["avx2" if "avx2" in native.targets() else "portable"], run.stderr


def test_an_empty_cap_is_no_cap() -> None:
    run = target_under_cap("")
    assert run.stdout.split() == [native.targets()[-1]], run.stderr


def test_an_unknown_cap_fails_the_import_and_names_the_allowed_ones() -> None:
    run = target_under_cap("avx9")
    assert run.returncode != 0
    assert "RuntimeError: DCSFL_CPU_TARGET='avx9' is no target; allowed: ('portable'," in run.stderr
