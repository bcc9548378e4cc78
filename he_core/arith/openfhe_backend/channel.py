"""Messages over a pair of pipes between an engine and its worker: a JSON head, then arrays as raw bytes. No pickle.

A message: u32 length of the head, little-endian; the head, with the arrays' types and shapes; the arrays, one after
the other. Both ends are this project's, one the other's child; the limits are against mistakes.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import math
import os
import select
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

HEAD_LIMIT = 1 << 20
ARRAY_LIMIT = 1 << 30
TYPES = ("<u4", "<u8", "<f8")
PIPE_BYTES = 1 << 20  # as much as Linux lets anybody have: fewer switches between the two processes
_LENGTH = struct.Struct("<I")


class ChannelClosedError(Exception):
    """The other end is gone, or what it sent is no message."""


class Channel:
    """One end. seconds: how long a message may make no progress; for ever if None."""

    def __init__(self, reading: int, writing: int, seconds: float | None = None) -> None:
        self.seconds = seconds
        self._reading, self._writing = reading, writing
        for pipe in (reading, writing):
            os.set_blocking(pipe, False)
            with contextlib.suppress(OSError):  # a user with many pipes may have to do with smaller ones
                fcntl.fcntl(pipe, getattr(fcntl, "F_SETPIPE_SZ", 1031), PIPE_BYTES)

    def close(self) -> None:
        os.close(self._reading)
        os.close(self._writing)

    def send(self, head: dict[str, Any], arrays: list[NDArray[Any]] | None = None) -> None:
        """Raises ChannelClosedError, TimeoutError."""
        contiguous = [np.ascontiguousarray(array) for array in arrays or []]
        shapes = [[array.dtype.str, *array.shape] for array in contiguous]
        text = json.dumps({**head, "arrays": shapes}).encode()
        self._write(memoryview(_LENGTH.pack(len(text)) + text))
        for array in contiguous:
            self._write(memoryview(array.reshape(-1).view(np.uint8)))

    def receive(self) -> tuple[dict[str, Any], list[NDArray[Any]]]:
        """Raises ChannelClosedError, TimeoutError."""
        (length,) = _LENGTH.unpack(self._exactly(_LENGTH.size))
        if length > HEAD_LIMIT:
            raise ChannelClosedError(f"a head of {length} bytes")
        try:
            head = json.loads(self._exactly(length))
            shapes = [(dtype, [int(size) for size in shape]) for dtype, *shape in head.pop("arrays")]
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ChannelClosedError(f"no message: {error!r}") from None
        arrays = []
        for dtype, shape in shapes:
            if dtype not in TYPES or min(shape, default=0) < 0 or 8 * math.prod(shape) > ARRAY_LIMIT:
                raise ChannelClosedError(f"an array {dtype}{shape}")
            array = np.empty(shape, dtype)
            self._read(memoryview(array.reshape(-1).view(np.uint8)))
            arrays.append(array)
        return head, arrays

    def _exactly(self, size: int) -> bytearray:
        data = bytearray(size)
        self._read(memoryview(data))
        return data

    def _read(self, view: memoryview) -> None:
        while view:
            self._wait(self._reading, select.POLLIN)
            try:
                got = os.readv(self._reading, [view])
            except BlockingIOError:
                continue
            except OSError as error:
                raise ChannelClosedError(str(error)) from None
            if got == 0:
                raise ChannelClosedError("closed")
            view = view[got:]

    def _write(self, view: memoryview) -> None:
        while view:
            self._wait(self._writing, select.POLLOUT)
            try:
                view = view[os.write(self._writing, view) :]
            except BlockingIOError:
                continue
            except OSError as error:
                raise ChannelClosedError(str(error)) from None

    def _wait(self, pipe: int, event: int) -> None:
        poll = select.poll()
        poll.register(pipe, event)
        if not poll.poll(None if self.seconds is None else int(self.seconds * 1000)):
            raise TimeoutError(f"nothing moved for {self.seconds:.0f} s")
