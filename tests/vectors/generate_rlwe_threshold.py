"""Makes rlwe_threshold.json: a dealing, an encrypted one-time key and a partial decryption, by docs/rlwe.md alone.

Nothing of the engine is used. Products are of whole numbers that hold a polynomial each (Kronecker's substitution),
transforms evaluations by definition; long results are given by their SHA-256. Takes about a minute. Run from the
repository's root: python tests/vectors/generate_rlwe_threshold.py
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import rlwe_oracle as oracle

OUTPUT = Path(__file__).with_name("rlwe_threshold.json")
PRIMES = (2**52 + 1 - 15 * 2**14, 2**52 + 1 - 42 * 2**14)
Q = PRIMES[0] * PRIMES[1]
DEGREE, KEY_DEGREE = 4096, 2048
THRESHOLD, CLIENTS = 3, 5
KEY_BITS, FLOODING_BITS = 10, 91  # as the planner gives them for 8 clients; test_rlwe_threshold_vectors.py compares
HOLDER, HOLDERS = 3, (0, 3, 4)
PUBLIC_SEED = bytes(range(7, 39))
SECRET_SEED, SHARING_SEED = bytes(range(60, 92)), bytes(range(120, 152))
MESSAGE_SEED, NOISE_SEED = bytes(range(1, 33)), bytes(range(200, 232))
SLOT_BITS = 240  # of a coefficient of a product: below 4096 * 2^104 * 2^104


def joined(residues: Sequence[Sequence[int]]) -> list[int]:
    """Coefficients mod Q of their residues, by the Chinese remainder theorem."""
    inverse = pow(PRIMES[0], -1, PRIMES[1])
    return [a + PRIMES[0] * ((b - a) * inverse % PRIMES[1]) for a, b in zip(*residues, strict=True)]


def wide_uniform(seed: bytes, domain: int, index: int) -> list[list[int]]:
    data = oracle.stream(seed, domain, index, 32 * DEGREE)
    words = [int.from_bytes(data[start : start + 16], "little") for start in range(0, len(data), 16)]
    return [[word % prime for word in words[which::2]] for which, prime in enumerate(PRIMES)]


def psi(prime: int) -> int:
    bases = (pow(base, (prime - 1) // (2 * DEGREE), prime) for base in range(2, prime))
    return next(root for root in bases if pow(root, DEGREE, prime) == prime - 1)


def untransformed(values: Sequence[int], prime: int) -> list[int]:
    """The polynomial of these values at psi^(2 r(i) + 1)."""
    powers = [1]
    for _ in range(2 * DEGREE - 1):
        powers.append(powers[-1] * psi_of[prime] % prime)
    scale = pow(DEGREE, -1, prime)
    exponents = [2 * oracle.reversed_bits(i, DEGREE) + 1 for i in range(DEGREE)]
    polynomial = []
    for j in range(DEGREE):
        places = (-exponent * j % (2 * DEGREE) for exponent in exponents)
        total = sum(value * powers[place] for value, place in zip(values, places, strict=True))
        polynomial.append(total * scale % prime)
    return polynomial


psi_of = {prime: psi(prime) for prime in PRIMES}


def product(a: Sequence[int], b: Sequence[int]) -> list[int]:
    """a b mod X^N' + 1 and Q."""
    pack = lambda values: int("".join(f"{value % Q:0{SLOT_BITS // 4}x}" for value in reversed(values)), 16)  # noqa: E731
    whole = pack(a) * pack(b)
    mask = (1 << SLOT_BITS) - 1
    data = whole.to_bytes(2 * DEGREE * SLOT_BITS // 8 + 1, "little")
    size = SLOT_BITS // 8
    slots = [int.from_bytes(data[i * size : (i + 1) * size], "little") & mask for i in range(2 * DEGREE)]
    return [(slots[i] - slots[i + DEGREE]) % Q for i in range(DEGREE)]


def gaussian(seed: bytes, domain: int, count: int) -> list[int]:
    return oracle.sample_gaussian(seed, domain, 0, count, oracle.gaussian_table("narrow"))


def plus(*polynomials: Sequence[int]) -> list[int]:
    return [sum(column) % Q for column in zip(*polynomials, strict=True)]


def stored(polynomial: Sequence[int]) -> bytes:
    return b"".join((value % prime).to_bytes(8, "little") for prime in PRIMES for value in polynomial)


def scaled(polynomial: Sequence[int], bits: int) -> list[int]:
    """round(x 2^bits / Q) mod 2^bits; Q is odd, so no tie is possible."""
    return [(2 * (value << bits) + Q) // (2 * Q) % 2**bits for value in polynomial]


def restored(values: Sequence[int], bits: int) -> list[int]:
    return [(2 * value * Q + 2**bits) // 2 ** (bits + 1) for value in values]


def lagrange(holder: int) -> int:
    value = 1
    for other in HOLDERS:
        if other != holder:
            value = value * (other + 1) * pow(other - holder, -1, Q) % Q
    return value


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def numbers(values: Sequence[int], size: int) -> bytes:
    return b"".join(value.to_bytes(size, "little") for value in values)


def make() -> dict[str, Any]:
    a_rows = wide_uniform(PUBLIC_SEED, 9, 0)
    a = joined([untransformed(row, prime) for row, prime in zip(a_rows, PRIMES, strict=True)])
    secret = gaussian(SECRET_SEED, 1, DEGREE)
    b = plus(product(a, secret), gaussian(SECRET_SEED, 2, DEGREE))
    coefficients = [joined(wide_uniform(SHARING_SEED, 10, index)) for index in range(THRESHOLD - 1)]
    shares = []
    for holder in range(CLIENTS):
        x = holder + 1
        shares.append(plus(secret, *([c * x ** (i + 1) for c in poly] for i, poly in enumerate(coefficients))))
    # A message and a part under this one client's contribution, as if it were the group's key.
    r, k = gaussian(MESSAGE_SEED, 4, DEGREE), gaussian(MESSAGE_SEED, 3, KEY_DEGREE)
    u = scaled(plus(product(a, r), gaussian(MESSAGE_SEED, 5, DEGREE)), 96)
    delta = Q >> KEY_BITS
    v = scaled(plus(product(b, r)[:KEY_DEGREE], gaussian(MESSAGE_SEED, 6, KEY_DEGREE), [delta * c for c in k]), 32)
    data = oracle.stream(NOISE_SEED, 11, 0, 16 * KEY_DEGREE)
    drawn = [int.from_bytes(data[i : i + 16], "little") % 2 ** (FLOODING_BITS + 1) for i in range(0, len(data), 16)]
    opened = product(restored(u, 96), shares[HOLDER])[:KEY_DEGREE]
    part = [lagrange(HOLDER) * x + noise - 2**FLOODING_BITS for x, noise in zip(opened, drawn, strict=True)]
    return {
        "source": "tests/vectors/generate_rlwe_threshold.py",
        "parameters": {"threshold": THRESHOLD, "clients": CLIENTS},
        "key_bits": KEY_BITS,
        "flooding_bits": FLOODING_BITS,
        "public_seed": PUBLIC_SEED.hex(),
        "secret_seed": SECRET_SEED.hex(),
        "sharing_seed": SHARING_SEED.hex(),
        "public": digest(stored(b)),
        "shares": [digest(stored(share)) for share in shares],
        "message_seed": MESSAGE_SEED.hex(),
        "encrypted_key": digest(numbers(u, 12) + numbers(v, 4)),
        "noise_seed": NOISE_SEED.hex(),
        "holder": HOLDER,
        "holders": HOLDERS,
        "part": digest(numbers(scaled([x % Q for x in part], 32), 4)),
    }


if __name__ == "__main__":
    OUTPUT.write_text(json.dumps(make(), indent=1) + "\n", encoding="ascii")
