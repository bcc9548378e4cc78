"""Streams and samplers of every target that runs here against RFC 8439, OpenSSL and the slow oracle."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from hypothesis import given
from hypothesis import strategies as st

import rlwe_oracle as oracle

native = pytest.importorskip("he_core._native", reason="installed without a C compiler", exc_type=ImportError)

TABLES = {width: oracle.gaussian_table(width) for width in oracle.VARIANCES}
SEED = bytes(range(7, 39))
STREAM = (SEED, 0x80000001, 0xFEDCBA9876543210)

every_target = pytest.mark.parametrize("target", native.targets())
every_width = pytest.mark.parametrize("width", list(TABLES))


def chacha20(target: str, seed: bytes, domain: int, index: int, first_block: int, blocks: int) -> bytes:
    out = np.full(64 * blocks, 0xA5, np.uint8)
    native.chacha20(out, seed, domain, index, first_block, target=target)
    return out.tobytes()


def openssl_chacha20(seed: bytes, domain: int, index: int, first_block: int, blocks: int) -> bytes:
    counter_and_nonce = b"".join(
        value.to_bytes(size, "little") for value, size in ((first_block, 4), (domain, 4), (index, 8))
    )
    return Cipher(algorithms.ChaCha20(seed, counter_and_nonce), None).encryptor().update(bytes(64 * blocks))


COUNTING_SEED = bytes(range(32))
RFC_8439 = [
    pytest.param(
        COUNTING_SEED,
        "000000090000004a00000000",
        1,
        "10f1e7e4d13b5915500fdd1fa32071c4c7d1f4c733c068030422aa9ac3d46c4e"
        "d2826446079faa0914c2d705d98b02a2b5129cd1de164eb9cbd083e8a2503c4e",
        id="section-2.3.2",
    ),
    pytest.param(
        COUNTING_SEED,
        "000000000000004a00000000",
        1,
        "224f51f3401bd9e12fde276fb8631ded8c131f823d2c06e27e4fcaec9ef3cf78"
        "8a3b0aa372600a92b57974cded2b9334794cba40c63e34cdea212c4cf07d41b7"
        "69a6749f3f630f4122cafe28ec4dc47e26d4346d70b98c73f3e9c53ac40c5945"
        "398b6eda1a832c89c167eacd901d7e2bf363",
        id="section-2.4.2",
    ),
    pytest.param(
        bytes(32),
        "000000000000000000000000",
        0,
        "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7"
        "da41597c5157488d7724e03fb8d84a376a43b8f41518a11cc387b669b2ee6586",
        id="A.1-vector-1",
    ),
    pytest.param(
        bytes(32),
        "000000000000000000000000",
        1,
        "9f07e7be5551387a98ba977c732d080dcb0f29a048e3656912c6533e32ee7aed"
        "29b721769ce64e43d57133b074d839d531ed1f28510afb45ace10a1f4b794d6f",
        id="A.1-vector-2",
    ),
    pytest.param(
        bytes(31) + b"\x01",
        "000000000000000000000000",
        1,
        "3aeb5224ecf849929b9d828db1ced4dd832025e8018b8160b82284f3c949aa5a"
        "8eca00bbb4a73bdad192b5c42f73f2fd4e273644c8b36125a64addeb006c13a0",
        id="A.1-vector-3",
    ),
    pytest.param(
        b"\x00\xff" + bytes(30),
        "000000000000000000000000",
        2,
        "72d54dfbf12ec44b362692df94137f328fea8da73990265ec1bbbea1ae9af0ca"
        "13b25aa26cb4a648cb9b9d1be65b2c0924a66c54d545ec1b7374f4872e99f096",
        id="A.1-vector-4",
    ),
    pytest.param(
        bytes(32),
        "000000000000000000000002",
        0,
        "c2c64d378cd536374ae204b9ef933fcd1a8b2288b3dfa49672ab765b54ee27c7"
        "8a970e0e955c14f3a88e741b97c286f75f8fc299e8148362fa198a39531bed6d",
        id="A.1-vector-5",
    ),
]


@every_target
@pytest.mark.parametrize(("seed", "nonce", "first_block", "keystream"), RFC_8439)
def test_streams_are_those_of_rfc_8439(
    target: str, seed: bytes, nonce: str, first_block: int, keystream: str
) -> None:
    domain, index = (int.from_bytes(part, "little") for part in (bytes.fromhex(nonce)[:4], bytes.fromhex(nonce)[4:]))
    expected = bytes.fromhex(keystream)
    blocks = -(-len(expected) // 64)
    assert chacha20(target, seed, domain, index, first_block, blocks)[: len(expected)] == expected
    assert oracle.stream(seed, domain, index, len(expected), first_block) == expected


@every_target
def test_streams_agree_with_the_oracle_at_every_count_around_the_batches(target: str) -> None:
    expected = oracle.stream(*STREAM, 64 * 49, 5)
    for blocks in range(50):
        assert chacha20(target, *STREAM, 5, blocks) == expected[: 64 * blocks]


@every_target
@given(
    seed=st.binary(min_size=32, max_size=32),
    domain=st.integers(0, 2**32 - 1),
    index=st.integers(0, 2**64 - 1),
    first_block=st.integers(0, 2**32 - 70),
    blocks=st.integers(0, 70),
)
def test_streams_agree_with_openssl(
    target: str, seed: bytes, domain: int, index: int, first_block: int, blocks: int
) -> None:
    expected = openssl_chacha20(seed, domain, index, first_block, blocks)
    assert chacha20(target, seed, domain, index, first_block, blocks) == expected


@every_target
def test_a_stream_may_be_read_up_to_its_last_block(target: str) -> None:
    for blocks in (1, 7, 8, 9, 16, 17):
        first_block = 2**32 - blocks
        expected = oracle.stream(*STREAM, 64 * blocks, first_block)
        assert chacha20(target, *STREAM, first_block, blocks) == expected


@every_target
@every_width
def test_the_mapping_agrees_with_the_oracle_on_random_bytes(target: str, width: str) -> None:
    rng = np.random.default_rng(3)
    for groups in (0, 1, 2, 3, 4, 17):
        stream = rng.integers(0, 256, 384 * groups + 1, np.uint8)[1:]  # no alignment is asked for
        out = np.full(64 * groups, 0x55, np.int8)
        native.map_gaussian(out, stream, width, target=target)
        assert out.tolist() == oracle.gaussian_samples(stream.tobytes(), TABLES[width])


@every_target
@every_width
def test_the_mapping_agrees_with_the_oracle_next_to_every_threshold(target: str, width: str) -> None:
    table = TABLES[width]
    groups = []
    for offset in (-(2**56), -(2**24), -256, -1, 0, 1, 2**32):
        comparands = np.array([(threshold + offset) % 2**64 for threshold in table.threshold], np.uint64)
        own = comparands.byteswap().view(np.uint8).reshape(64, 8)[:, :5]
        for exact in range(64):  # the column whose comparand the shared bits make whole
            sign = 0x80 * (exact % 2)
            shared = comparands[exact] >> np.arange(24, dtype=np.uint64) & np.uint64(1)
            columns = np.arange(64, dtype=np.uint8) | np.uint8(sign)
            columns[:24] |= shared.astype(np.uint8) << 6
            columns[24:] |= np.uint8(0x40 * (exact // 2 % 2))  # which nothing reads
            groups.append(columns.tobytes() + own.T.tobytes())
    stream = b"".join(groups)
    out = np.empty(64 * len(groups), np.int8)
    native.map_gaussian(out, stream, width, target=target)
    assert out.tolist() == oracle.gaussian_samples(stream, table)


@every_target
@every_width
@pytest.mark.parametrize("count", [0, 64, 128, 1984, 2048, 2112, 4160])
def test_samples_agree_with_the_oracle_over_pieces(target: str, width: str, count: int) -> None:
    out = np.full(count, 0x55, np.int8)
    native.sample_gaussian(out, *STREAM, width, target=target)
    assert out.tolist() == oracle.sample_gaussian(*STREAM, count, TABLES[width])


@every_target
@pytest.mark.parametrize(("rows", "columns"), [(0, 5), (3, 0), (1, 1), (2, 7), (3, 65), (1, 515), (2, 2048)])
def test_uniform_rows_agree_with_the_oracle(target: str, rows: int, columns: int) -> None:
    seed, domain, first_index = STREAM
    out = np.full((rows, columns), 2**64 - 1, np.uint64)
    native.expand_uniform(out, seed, domain, first_index, target=target)
    for j in range(rows):
        assert out[j].tolist() == oracle.expand_uniform(seed, domain, first_index + j, columns)


def test_every_target_draws_the_same_half_million() -> None:
    samples, residues = [], []
    for target in native.targets():
        for width in TABLES:
            out = np.empty(500_032, np.int8)
            native.sample_gaussian(out, *STREAM, width, target=target)
            samples.append((width, out.tobytes()))
        rows = np.empty((64, 8_191), np.uint64)
        native.expand_uniform(rows, *STREAM, target=target)
        residues.append(rows.tobytes())
    assert len(set(samples)) == len(TABLES)
    assert len(set(residues)) == 1


def test_threads_sample_at_once_without_mixing() -> None:
    outs = [np.empty(64_000, np.int8) for _ in range(4)]
    threads = [
        threading.Thread(target=native.sample_gaussian, args=(out, SEED, 9, i, "wide")) for i, out in enumerate(outs)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i, out in enumerate(outs):
        alone = np.empty_like(out)
        native.sample_gaussian(alone, SEED, 9, i, "wide")
        assert (out == alone).all()
