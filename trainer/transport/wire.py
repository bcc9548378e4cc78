"""Messages as bytes, for transports between processes: raw tensors and numbers, never pickled objects.

A message is `DCSM`, a version, the code of its class, and its fields in the order of the dataclass, each with a tag
that must be what the class declares. All numbers are little-endian. Exact bytes in docs/federation.md.

The parser trusts nothing: every length is checked against the bytes at hand before anything is allocated, and
whatever is not exactly one message of a known class is a `MessageFormatError`.
"""

from __future__ import annotations

import struct
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass, fields
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trainer.errors import ProtocolError
from trainer.parties.messages import QuantisedTensor

MAGIC = b"DCSM"
VERSION = 2
MAX_MESSAGE_BYTES = 1 << 34
MAX_DIMENSIONS = 8
MAX_DEPTH = 6

_HEAD = struct.Struct("<4sBH")
_U8 = struct.Struct("<B")
_U16 = struct.Struct("<H")
_U32 = struct.Struct("<I")
_U64 = struct.Struct("<Q")
_I64 = struct.Struct("<q")
_F64 = struct.Struct("<d")

NONE, INTEGER, NUMBER, TEXT, BYTES, TENSOR, QUANTISED, SEQUENCE, TABLE, RECORD = range(10)

DTYPES = (torch.float32, torch.bfloat16, torch.int8, torch.int64)
"""Tensor types by their code on the wire."""


class MessageFormatError(ProtocolError):
    """Bytes that are not one message of this version; nothing was made of them."""


@dataclass(frozen=True)
class _Schema:
    """A class that may cross, its code, and the type of each of its fields."""

    code: int
    cls: type
    types: tuple[Any, ...]


class Vocabulary:
    """The classes that may cross between two parties, by code."""

    def __init__(self, codes: dict[int, type]) -> None:
        self._by_code: dict[int, _Schema] = {}
        self._by_class: dict[type, _Schema] = {}
        for code, cls in codes.items():
            hints = typing.get_type_hints(cls)
            schema = _Schema(code, cls, tuple(hints[field.name] for field in fields(cls)))
            self._by_code[code], self._by_class[cls] = schema, schema

    @property
    def classes(self) -> tuple[type, ...]:
        """All of them, by code."""
        return tuple(schema.cls for _, schema in sorted(self._by_code.items()))

    def encode(self, message: object) -> bytes:
        """The bytes of `message`. Raises ProtocolError for a class that is not to cross."""
        schema = self._schema_of(message)
        parts: list[Any] = [_HEAD.pack(MAGIC, VERSION, schema.code)]
        self._put_fields(parts, message)
        return b"".join(parts)

    def decode(self, data: bytes | bytearray | memoryview, max_bytes: int = MAX_MESSAGE_BYTES) -> Any:
        """The message in hostile `data`. Raises MessageFormatError. Tensors are copies of their own."""
        view = memoryview(data).cast("B")
        if len(view) > max_bytes:
            raise MessageFormatError(f"a message of {len(view):,} bytes; at most {max_bytes:,} are allowed here")
        reader = _Reader(view)
        magic, version, code = _HEAD.unpack(reader.take(_HEAD.size, "the head"))
        if magic != MAGIC:
            raise MessageFormatError(f"bytes that start with {magic.hex()} are no message")
        if version != VERSION:
            raise MessageFormatError(f"a message of version {version}; this side reads version {VERSION}")
        message = self._fields(reader, self._schema(code), 0)
        if reader.left:
            raise MessageFormatError(f"{reader.left:,} bytes follow the message")
        return message

    # --- writing

    def _schema_of(self, message: object) -> _Schema:
        schema = self._by_class.get(type(message))
        if schema is None:
            raise ProtocolError(f"a {type(message).__name__} is not to cross between these parties")
        return schema

    def _put_fields(self, parts: list[Any], record: Any) -> None:
        for field in fields(record):
            self._put(parts, getattr(record, field.name))

    def _put(self, parts: list[Any], value: Any) -> None:
        for kinds, put in self._writers:
            if isinstance(value, kinds):
                put(self, parts, value)
                return
        parts.append(_U8.pack(RECORD) + _U16.pack(self._schema_of(value).code))
        self._put_fields(parts, value)

    def _put_none(self, parts: list[Any], value: None) -> None:
        parts.append(_U8.pack(NONE))

    def _put_integer(self, parts: list[Any], value: int) -> None:
        parts.append(_U8.pack(INTEGER) + _I64.pack(value))

    def _put_number(self, parts: list[Any], value: float) -> None:
        parts.append(_U8.pack(NUMBER) + _F64.pack(value))

    def _put_text(self, parts: list[Any], value: str) -> None:
        encoded = value.encode()
        parts += (_U8.pack(TEXT), _U32.pack(len(encoded)), encoded)

    def _put_bytes(self, parts: list[Any], value: bytes) -> None:
        parts += (_U8.pack(BYTES), _U64.pack(len(value)), value)

    def _put_tensor(self, parts: list[Any], value: Tensor) -> None:
        parts.append(_U8.pack(TENSOR))
        _put_array(parts, value)

    def _put_quantised(self, parts: list[Any], value: QuantisedTensor) -> None:
        parts.append(_U8.pack(QUANTISED))
        _put_array(parts, value.codes)
        _put_array(parts, value.scales)

    def _put_sequence(self, parts: list[Any], values: tuple[Any, ...]) -> None:
        parts.append(_U8.pack(SEQUENCE) + _U32.pack(len(values)))
        for value in values:
            self._put(parts, value)

    def _put_table(self, parts: list[Any], table: dict[str, Any]) -> None:
        parts.append(_U8.pack(TABLE) + _U32.pack(len(table)))
        for name, value in table.items():
            encoded = name.encode()
            parts += (_U32.pack(len(encoded)), encoded)
            self._put(parts, value)

    _writers: typing.ClassVar[tuple[tuple[type, Callable[..., None]], ...]] = (
        (type(None), _put_none),
        (int, _put_integer),
        (float, _put_number),
        (str, _put_text),
        (bytes, _put_bytes),
        (Tensor, _put_tensor),
        (QuantisedTensor, _put_quantised),
        (tuple, _put_sequence),
        (dict, _put_table),
    )

    # --- reading

    def _schema(self, code: int) -> _Schema:
        schema = self._by_code.get(code)
        if schema is None:
            raise MessageFormatError(f"a message of unknown class {code}")
        return schema

    def _fields(self, reader: _Reader, schema: _Schema, depth: int) -> Any:
        values = []
        for field, declared in zip(fields(schema.cls), schema.types, strict=True):
            value = self._value(reader, depth)
            if not _is(value, declared):
                raise MessageFormatError(
                    f"{schema.cls.__name__}.{field.name} came as {type(value).__name__}, not as {declared}"
                )
            values.append(value)
        try:
            return schema.cls(*values)
        except (ValueError, TypeError) as error:  # a class that checks itself
            raise MessageFormatError(f"{schema.cls.__name__}: {error}") from None

    def _value(self, reader: _Reader, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise MessageFormatError(f"values nested more than {MAX_DEPTH} deep")
        tag = reader.number(_U8, "a tag")
        if tag in (SEQUENCE, TABLE, RECORD):
            return self._composite(reader, tag, depth + 1)
        read = _SIMPLE.get(tag)
        if read is None:
            raise MessageFormatError(f"unknown tag {tag}")
        return read(reader)

    def _composite(self, reader: _Reader, tag: int, depth: int) -> Any:
        if tag == RECORD:
            return self._fields(reader, self._schema(reader.number(_U16, "a class")), depth)
        count = reader.number(_U32, "a count")
        reader.expect(count, "entries")  # each takes a byte at the least
        if tag == SEQUENCE:
            return tuple(self._value(reader, depth) for _ in range(count))
        return {reader.text(): self._value(reader, depth) for _ in range(count)}


class _Reader:
    """What is left of the bytes."""

    def __init__(self, view: memoryview) -> None:
        self._view = view
        self._at = 0

    @property
    def left(self) -> int:
        return len(self._view) - self._at

    def expect(self, count: int, what: str) -> None:
        if count > self.left:
            raise MessageFormatError(f"cut short: {what} of {count:,} bytes at least, but {self.left:,} are left")

    def take(self, count: int, what: str) -> memoryview:
        self.expect(count, what)
        self._at += count
        return self._view[self._at - count : self._at]

    def number(self, form: struct.Struct, what: str) -> Any:
        return form.unpack(self.take(form.size, what))[0]

    def text(self) -> str:
        try:
            return str(self.take(self.number(_U32, "a length"), "text"), "utf-8")
        except UnicodeDecodeError:
            raise MessageFormatError("text that is not UTF-8") from None

    def array(self) -> Tensor:
        code = self.number(_U8, "a type")
        if code >= len(DTYPES):
            raise MessageFormatError(f"a tensor of unknown type {code}")
        dimensions = self.number(_U8, "dimensions")
        if dimensions > MAX_DIMENSIONS:
            raise MessageFormatError(f"a tensor of {dimensions} dimensions; at most {MAX_DIMENSIONS} may cross")
        shape = [self.number(_U32, "a dimension") for _ in range(dimensions)]
        raw = self.take(prod(shape) * DTYPES[code].itemsize, f"a tensor {shape}")
        if not prod(shape):
            if prod(max(1, side) for side in shape) > MAX_MESSAGE_BYTES:
                raise MessageFormatError(f"an empty tensor {shape}")
            return torch.empty(shape, dtype=DTYPES[code])
        # numpy's copy owns its memory and is aligned, which a place in the middle of a message is not
        return torch.from_numpy(np.frombuffer(raw, np.uint8).copy()).view(DTYPES[code]).reshape(shape)


_SIMPLE: dict[int, Callable[[_Reader], Any]] = {
    NONE: lambda reader: None,
    INTEGER: lambda reader: reader.number(_I64, "a number"),
    NUMBER: lambda reader: reader.number(_F64, "a number"),
    TEXT: _Reader.text,
    BYTES: lambda reader: bytes(reader.take(reader.number(_U64, "a length"), "bytes")),
    TENSOR: _Reader.array,
    QUANTISED: lambda reader: QuantisedTensor(reader.array(), reader.array()),
}


def _put_array(parts: list[Any], tensor: Tensor) -> None:
    tensor = tensor.detach().cpu().contiguous()
    if tensor.dtype not in DTYPES:
        raise ProtocolError(f"tensors of type {tensor.dtype} do not cross; {', '.join(map(str, DTYPES))} do")
    shape = tuple(tensor.shape)
    parts.append(struct.pack(f"<BB{len(shape)}I", DTYPES.index(tensor.dtype), len(shape), *shape))
    parts.append(tensor.reshape(-1).view(torch.uint8).numpy().data)


def _is(value: Any, declared: Any) -> bool:
    """Whether a decoded value is of a field's declared type."""
    origin, arguments = typing.get_origin(declared), typing.get_args(declared)
    if origin in (typing.Union, types.UnionType):
        return any(_is(value, each) for each in arguments)
    if origin is tuple:
        return isinstance(value, tuple) and all(_is(each, arguments[0]) for each in value)
    if origin is dict:
        return isinstance(value, dict) and all(_is(each, arguments[1]) for each in value.values())
    if declared is Tensor:
        return isinstance(value, Tensor)
    return declared is Any or type(value) is declared
