"""Mutated frames and key files: whatever the bytes, only the errors promised, and nothing changed by a refusal."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path
from typing import Any, cast

import pytest

from he_core import Aggregator, Codec, Decryptor, create, errors, frame, keystore, registry
from he_core.errors import ParameterError
from he_core.params import RlweParameters
from he_core.planner import RlwePlan, coefficient_width, part_bytes
from he_core.schemes.rlwe import Rlwe
from he_core.threshold_errors import ThresholdError

FROZEN = Path(__file__).parents[1] / "fixtures" / "v1"
DOCUMENT: dict[str, Any] = json.loads((FROZEN / "frames.json").read_text(encoding="ascii"))
MUTANTS = 10_000

# (offset, bytes) of the header's fields and the first participant's: docs/wire-format.md
FIELDS = [(8, 2), (10, 1), (11, 1), (12, 4), (16, 16), (32, 32), (64, 32), (96, 32), (128, 8), (136, 8), (144, 8)]
FIELDS += [(152, 8), (160, 4), (164, 4), (168, 4), (172, 8)]
PAYLOAD_START = 180  # of one participant's frame

CODEC = Codec(
    DOCUMENT["codec"]["bits"],
    DOCUMENT["codec"]["k_max"],
    tuple(DOCUMENT["codec"]["lengths"]),
    tuple(DOCUMENT["codec"]["limits"]),
    DOCUMENT["codec"]["weight_reference"],
)
ENGINES = [
    pytest.param(status.scheme, status.backend, id=f"{status.scheme}-{status.backend}")
    for status in registry.default().statuses()
    if status.obstacle is None
]


class FrameMutator:
    """Reproducible mutations of a set of frames, most of them under a checksum that fits.

    plan: where coefficients lie in the payloads of rlwe; without it, payloads are just bytes.
    """

    def __init__(
        self, seed: int, frames: list[bytes], reseal: Callable[[bytes], bytes], plan: RlwePlan | None = None
    ) -> None:
        self._random = random.Random(seed)
        self._frames = frames
        self._reseal = reseal
        self._plan = plan
        self._mutations = [self._flip, self._edit_field, self._edit_field, self._cut, self._grow]
        self._mutations += [self._splice, self._fill]
        if plan is not None:
            self._mutations += [self._edit_coefficient] * 4 + [self._set_bits_after_the_last]

    def mutant(self) -> bytes:
        data = bytearray(self._random.choice(self._frames))
        for _ in range(self._random.choice([1, 1, 1, 2, 4])):
            data = self._random.choice(self._mutations)(data)
        if len(data) > 4 and self._random.random() < 0.7:
            return self._reseal(bytes(data))
        return bytes(data)

    def _flip(self, data: bytearray) -> bytearray:
        for _ in range(self._random.randint(1, 4)):
            if data:
                data[self._random.randrange(len(data))] ^= 1 << self._random.randrange(8)
        return data

    def _edit_field(self, data: bytearray) -> bytearray:
        offset, size = self._random.choice(FIELDS)
        top = (1 << 8 * size) - 1
        old = int.from_bytes(data[offset : offset + size], "little")
        near = [old - 1, old + 1, old * 2, old // 2, old ^ 1 << self._random.randrange(8 * size)]
        value = self._random.choice([0, 1, top, top // 2, top // 2 + 1, self._random.randint(0, top), *near])
        data[offset : offset + size] = (value & top).to_bytes(size, "little")
        return data

    def _cut(self, data: bytearray) -> bytearray:
        start = self._random.randint(0, len(data))
        length = self._random.choice([1, 4, 8, 12, 64, len(data)])
        return data[:start] + data[start + length :]

    def _grow(self, data: bytearray) -> bytearray:
        start = self._random.randint(0, len(data))
        return data[:start] + self._random.randbytes(self._random.choice([1, 4, 8, 12, 64])) + data[start:]

    def _fill(self, data: bytearray) -> bytearray:
        start = self._random.randint(0, len(data))
        length = self._random.choice([1, 8, 64, len(data) - start])
        filling = bytes([self._random.choice([0x00, 0x7F, 0xFF])]) * length
        return data[:start] + filling + data[start + length :]

    def _splice(self, data: bytearray) -> bytearray:
        other = self._random.choice(self._frames)
        start = self._random.choice([168, 180, 192, self._random.randint(0, len(data))])
        return data[:start] + other[start:]

    def _edit_coefficient(self, data: bytearray) -> bytearray:
        """A coefficient of any part at, below or above its modulus, or with one bit flipped."""
        assert self._plan is not None
        parts = self._plan.parts
        starts = list(accumulate((part_bytes(*part) for part in parts), initial=PAYLOAD_START))
        part = self._random.randrange(len(parts))
        count, dropped_bits = parts[part]
        width, modulus = coefficient_width(dropped_bits), RlweParameters.MODULUS >> dropped_bits
        first_bit = width * self._random.choice([0, count - 1, self._random.randrange(count)])
        place = slice(starts[part] + first_bit // 8, starts[part] + (first_bit + width + 7) // 8)
        around, shift = int.from_bytes(data[place], "little"), first_bit % 8
        old = around >> shift & (1 << width) - 1
        near = [modulus - 1, modulus, modulus, modulus + 1, (1 << width) - 1]
        value = self._random.choice([0, old ^ 1 << self._random.randrange(width), *near])
        size = len(data[place])  # less than it should be where an earlier mutation cut
        around ^= (old ^ value) << shift
        data[place] = (around & (1 << 8 * size) - 1).to_bytes(size, "little")
        return data

    def _set_bits_after_the_last(self, data: bytearray) -> bytearray:
        if len(data) > PAYLOAD_START + 4:
            data[-5] |= 0x80
        return data


def frozen(scheme: str) -> list[bytes]:
    return [path.read_bytes() for path in sorted(FROZEN.glob(f"{scheme}-*.frame"))]


def test_the_parser_raises_nothing_but_frame_errors(reseal: Callable[[bytes], bytes]) -> None:
    mutator = FrameMutator(1, frozen("plain") + frozen("paillier") + frozen("rlwe"), reseal)
    outcomes: Counter[str] = Counter()
    for _ in range(MUTANTS):
        mutant = mutator.mutant()
        try:
            parsed = frame.parse(mutant)
        except errors.FrameError as error:
            outcomes[type(error).__name__] += 1
        else:
            outcomes["parsed"] += 1
            assert frame.encode(parsed.header, bytes(parsed.payload)) == mutant  # one meaning, one form
    rare = {"parsed", "TruncatedFrameError", "TrailingBytesError", "BadMagicError", "UnsupportedVersionError"}
    rare |= {"FrameTooLargeError", "FrameFieldError", "FrameChecksumError"}
    assert {name for name, count in outcomes.items() if count >= 20} == rare  # every check was reached


@pytest.mark.parametrize(("name", "backend"), ENGINES)
def test_the_aggregator_refuses_mutants_without_touching_its_sum(
    name: str, backend: str, reseal: Callable[[bytes], bytes]
) -> None:
    """Client 70,000 is in the sum and mutants of both contributions and the sum arrive: refused, or added alone.

    After every run of refusals client 2's contribution, or a mutant that is one, gives the sum of those two frames.
    """
    bundle = keystore.load_public(FROZEN / f"TEST-ONLY-{name}.public.json")
    scheme = registry.create(name, backend, bundle.parameters, threads=1)
    key = scheme.public_key(bundle)
    plan = cast(Rlwe, scheme).plan(CODEC.shape) if name == "rlwe" else None
    honest, already_in, total = frozen(name)
    mutator = FrameMutator(2, [honest, already_in, total], reseal, plan)

    def fresh() -> Aggregator:
        aggregator = Aggregator(scheme, key)
        aggregator.open(DOCUMENT["round"], CODEC.shape, clients=DOCUMENT["clients"])
        aggregator.add(already_in)
        return aggregator

    aggregator = fresh()
    outcomes: Counter[str] = Counter()
    ranges: set[int] = set()
    for index in range(MUTANTS):
        mutant = mutator.mutant()
        try:
            aggregator.add(mutant)
        except (errors.FrameError, errors.AggregationError) as error:
            outcomes[type(error).__name__] += 1
            if isinstance(error, errors.CiphertextRangeError):
                ranges.add(error.index)
            if index % 50:
                continue
            aggregator.add(honest)
            assert aggregator.result() == total
        else:
            outcomes["accepted"] += 1
            parsed = frame.parse(mutant)
            assert [entry.client for entry in parsed.header.participants] == [2]
            assert (parsed.header.round, parsed.header.key_id) == (DOCUMENT["round"], bundle.key_id)
            again = scheme.serialise(key, scheme.parse(key, parsed.payload, CODEC.shape))
            assert bytes(again) == parsed.payload  # one meaning, one form
            undisturbed = fresh()
            undisturbed.add(mutant)
            assert aggregator.result() == undisturbed.result()
        aggregator = fresh()
    aggregator.add(honest)
    assert aggregator.result() == total
    reached = {"accepted", "WrongKindError", "WrongSchemeError", "WrongParametersError", "WrongKeyError"}
    reached |= {"WrongRoundError", "ReplayedRoundError", "WrongCodecError", "DuplicateClientError"}
    reached |= {"UnexpectedClientError", "FrameFieldError", "FrameChecksumError"}
    reached |= {"CiphertextRangeError"} if name != "plain" else set()
    assert reached <= outcomes.keys()
    if plan is not None:  # first and last coefficient of every part, and the bits after the last
        ends = list(accumulate((count for count, _ in plan.parts), initial=0))
        assert {*ends, *(end - 1 for end in ends[1:])} <= ranges


def test_whoever_combines_parts_raises_nothing_but_what_is_promised(
    reseal: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    """Any bytes of its length are a part of `rlwe`: what passes for one gives a mean, which verified sums judge."""
    path = tmp_path / "share.json"
    path.write_bytes((FROZEN / "TEST-ONLY-2-of-3-rlwe.share-0.json").read_bytes())
    path.chmod(0o600)
    bundle = keystore.load_secret(path)
    scheme = create("rlwe", parameters=bundle.public.parameters, threads=1)
    decryptor = Decryptor(scheme, scheme.secret_key(bundle))
    *parts, total = frozen("2-of-3-rlwe")[2:]
    honest = decryptor.decrypt(total, CODEC, round=DOCUMENT["round"], partials=parts)
    mutator = FrameMutator(4, [*parts, total], reseal)
    outcomes: Counter[str] = Counter()
    for _ in range(MUTANTS):
        try:
            mean = decryptor.decrypt(total, CODEC, round=DOCUMENT["round"], partials=[parts[0], mutator.mutant()])
        except (errors.FrameError, ThresholdError) as error:
            outcomes[type(error).__name__] += 1
        else:
            outcomes["same" if (mean == honest).all() else "other"] += 1
            assert mean.shape == (CODEC.value_count,)
    assert {"same", "FrameFieldError", "WrongHoldersError", "PartialsDoNotFitError", "WrongKindError"} <= set(
        outcomes
    )
    assert outcomes["other"] < outcomes["same"]


def _mutant_text(source: random.Random, text: bytes) -> bytes:
    data = bytearray(text)
    for _ in range(source.randint(1, 3)):
        position = source.randrange(len(data))
        match source.randrange(5):
            case 0:
                data[position] ^= 1 << source.randrange(8)
            case 1:
                data[position] = source.choice(b'"{}[]:,0123456789abcdef=/+\\ \n')
            case 2:
                del data[position : position + source.choice([1, 2, 40, len(data)])]
            case 3:
                data[position:position] = source.choice(
                    [b"null", b"{}", b"[]", b"1e999", b'"x"', b"\xff", b"[" * 2000]
                )
            case _:
                start = source.randrange(len(text))
                data[position:position] = text[start : start + 50]
        if not data:
            break
    return bytes(data)


def _mutate_value(source: random.Random, document: Any) -> None:
    """Put a value of another type or size somewhere into a JSON document."""
    places: list[tuple[dict[str, Any], str]] = []

    def walk(node: Any) -> None:
        if isinstance(node, dict):
            places.extend((node, name) for name in node)
            for value in node.values():
                walk(value)

    walk(document)
    node, name = source.choice(places)
    match source.randrange(3):
        case 0:
            del node[name]
        case 1:
            node[name] = source.choice([None, 0, -1, 2.5, True, "", "AA==", "é", "\ud800", [], {}, [[]], {"a": 1}])
        case _:
            node[source.choice(["material", "sealed", "public", "nonce", "p", "extra"])] = node.pop(name)


@pytest.mark.parametrize("kind", ["public", "secret"])
@pytest.mark.parametrize("name", ["paillier", "rlwe"])
def test_mutated_key_files_raise_nothing_but_key_store_errors(name: str, kind: str, tmp_path: Path) -> None:
    """A file that still loads has the same public key; altered secret material is then no key of the scheme."""
    text = (FROZEN / f"TEST-ONLY-{name}.{kind}.json").read_bytes()
    source = random.Random(3)
    path = tmp_path / "key.json"
    path.touch(mode=0o600)
    original = keystore.load_public(FROZEN / f"TEST-ONLY-{name}.public.json")
    scheme = create(name, parameters=original.parameters, threads=1)
    outcomes: Counter[str] = Counter()
    for index in range(1500):
        if index % 2:
            document = json.loads(text)
            _mutate_value(source, document)
            path.write_text(json.dumps(document), encoding="ascii")
        else:
            path.write_bytes(_mutant_text(source, text))
        try:
            bundle = keystore.load_public(path) if kind == "public" else keystore.load_secret(path)
        except errors.KeyStoreError as error:
            outcomes[type(error).__name__] += 1
            continue
        outcomes["loaded"] += 1
        if isinstance(bundle, keystore.SecretBundle):
            assert bundle.public == original
            try:
                assert scheme.secret_key(bundle).key_id == original.key_id
            except ParameterError:
                outcomes["no key of the scheme"] += 1
        else:
            assert bundle == original
    assert outcomes["KeyFileError"] > 500
    if kind == "secret":
        assert outcomes["no key of the scheme"] > 5
        assert outcomes["PassphraseError"] > 5


def test_mutations_of_a_sealed_key_are_told_as_such(tmp_path: Path) -> None:
    """Few, as each attempt derives a key for 0.3 s."""
    scheme = create("plain")
    keystore.save_secret(tmp_path / "sealed", scheme.generate_keys(), "correct horse")
    text = (tmp_path / "sealed").read_bytes()
    source = random.Random(4)
    path = tmp_path / "mutant"
    path.touch(mode=0o600)
    for part in ("salt", "nonce", "ciphertext"):
        for size in (0, 1, None):
            document = json.loads(text)
            old = document["sealed"][part]
            position = source.randrange(len(old) - 4)
            swapped = old[:position] + ("A" if old[position] != "A" else "B") + old[position + 1 :]
            document["sealed"][part] = swapped if size is None else old[: 4 * size]
            path.write_text(json.dumps(document), encoding="ascii")
            with pytest.raises(errors.KeyFileError):
                keystore.load_secret(path, "correct horse")


@pytest.mark.parametrize("depth", [*range(940, 1000), 100_000])
def test_deep_nesting_is_refused_wherever_it_lies(depth: int, tmp_path: Path) -> None:
    """At some depths the parser still copes and what walks its result does not."""
    nest = "[" * depth + "]" * depth
    for number, text in enumerate(
        (
            f'{{"format": {nest}}}',
            f'{{"format": "dcsfl public key 1", "scheme": "plain", "parameters": {{"a": {nest}}}, "key_id": "", '
            '"material": {}}',
            f'{{"format": "dcsfl public key 1", "scheme": {nest}, "parameters": {{}}, "material": {{}}}}',
            f'{{"format": "dcsfl public key 1", "scheme": "plain", "parameters": {{}}, "material": {nest}}}',
        )
    ):
        path = tmp_path / str(number)
        path.write_text(text, encoding="ascii")
        with pytest.raises(errors.KeyStoreError):
            keystore.load_public(path)
