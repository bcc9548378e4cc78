"""Known answers for Paillier, from plain Python integers alone; nothing of the engine is imported.

Formulae:
- keys and g = n + 1: P. Paillier, "Public-Key Cryptosystems Based on Composite Degree Residuosity Classes",
  EUROCRYPT '99, section 4. With g = n + 1, g^m = 1 + m n (mod n^2).
- randomisers: I. Damgard, M. Jurik, J. B. Nielsen, "A generalization of Paillier's public-key system with
  applications to electronic voting", IJIS 9 (2010), section 4.2: h = (-x^2)^n mod n^2, c = (1 + m n) h^r mod n^2
  with 0 <= r < 2^(|n|/2); p = q = 3 mod 4 and gcd(p-1, q-1) = 2.
- decryption: Paillier 1999, section 4, without the Chinese remainder theorem:
  m = L(c^lambda mod n^2) / L(g^lambda mod n^2) mod n, L(u) = (u - 1) / n, lambda = lcm(p-1, q-1).
- sum: c1 c2 mod n^2 decrypts to m1 + m2 mod n.
Primes are found by the Miller-Rabin test to 8 bases: a composite would show, as nothing would decrypt. Numbers are
little-endian bytes in hexadecimal, of the sizes that `docs/wire-format.md` gives. Every choice comes from SHA-256 in
counter mode, so the output is reproducible.

Run `python tests/vectors/generate_paillier.py` to write `paillier.json`; a test compares the two.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

OUTPUT = Path(__file__).with_name("paillier.json")
SMALL_PRIMES = [odd for odd in range(3, 2000, 2) if all(odd % d for d in range(3, math.isqrt(odd) + 1, 2))]


class Stream:
    """Reproducible bytes: SHA-256(label, counter)."""

    def __init__(self, label: str) -> None:
        self._label, self._counter = label.encode(), 0

    def integer(self, bits: int) -> int:
        """Uniform in [0, 2^bits)."""
        data = b""
        while len(data) * 8 < bits:
            data += hashlib.sha256(self._label + self._counter.to_bytes(8, "big")).digest()
            self._counter += 1
        return int.from_bytes(data, "big") % (1 << bits)


def is_prime(candidate: int, bases: Stream) -> bool:
    """Trial division, then Miller-Rabin to 8 bases; candidate is odd and large."""
    if any(candidate % prime == 0 for prime in SMALL_PRIMES):
        return False
    odd, twos = candidate - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    for _ in range(8):
        power = pow(2 + bases.integer(candidate.bit_length()) % (candidate - 3), odd, candidate)
        if power in (1, candidate - 1):
            continue
        for _ in range(twos - 1):
            power = power * power % candidate
            if power == candidate - 1:
                break
        else:
            return False
    return True


def primes(bits: int, stream: Stream) -> Iterator[int]:
    """Primes = 3 mod 4 with their two highest bits set, so that a product of two has 2 * bits bits."""
    while True:
        candidate = stream.integer(bits) | (3 << (bits - 2)) | 3
        if is_prime(candidate, stream):
            yield candidate


def vectors(modulus_bits: int, field_bits: int, only: tuple[str, ...] = ()) -> dict[str, Any]:
    """A key, words at the edges and at random (or `only` those named), their ciphertexts, and the sum of all."""
    stream = Stream(f"dcsfl paillier vectors {modulus_bits}")
    found = primes(modulus_bits // 2, stream)
    p = next(found)
    q = next(prime for prime in found if math.gcd(p - 1, prime - 1) == 2)
    n, square = p * q, (p * q) ** 2
    x = next(x for x in iter(lambda: stream.integer(modulus_bits) % n, None) if math.gcd(x, n) == 1)
    h = pow(-x * x, n, square)

    half = modulus_bits // 2
    fields = (modulus_bits - 1) // field_bits
    words = {
        "zero": 0,
        "one": 1,
        "n-1": n - 1,
        "every-field-full": (1 << fields * field_bits) - 1,
        "top-field-alone": ((1 << field_bits) - 1) << (fields - 1) * field_bits,
        "random-1": stream.integer(modulus_bits - 1),
        "random-2": stream.integer(modulus_bits - 1),
        "under-randomiser-zero": stream.integer(modulus_bits - 1),
        "under-randomiser-one": stream.integer(modulus_bits - 1),
        "under-largest-randomiser": stream.integer(modulus_bits - 1),
    }
    randomisers = {name: stream.integer(half) for name in words}
    randomisers |= {
        "under-randomiser-zero": 0,
        "under-randomiser-one": 1,
        "under-largest-randomiser": (1 << half) - 1,
    }
    words = {name: word for name, word in words.items() if name in only or not only}
    order = math.lcm(p - 1, q - 1)
    scale = pow((pow(n + 1, order, square) - 1) // n, -1, n)

    def encrypt(name: str) -> int:
        return (1 + words[name] * n) * pow(h, randomisers[name], square) % square

    def decrypt(ciphertext: int) -> int:
        return (pow(ciphertext, order, square) - 1) // n * scale % n

    ciphertexts = {name: encrypt(name) for name in words}
    total = math.prod(ciphertexts.values()) % square

    def hexadecimal(value: int, bits: int) -> str:
        return value.to_bytes(bits // 8, "little").hex()

    return {
        "modulus_bits": modulus_bits,
        "field_bits": field_bits,
        "n": hexadecimal(n, modulus_bits),
        "p": hexadecimal(p, half),
        "q": hexadecimal(q, half),
        "x": hexadecimal(x, modulus_bits),
        "h": hexadecimal(h, 2 * modulus_bits),
        "rows": [
            {
                "name": name,
                "word": hexadecimal(words[name], modulus_bits),
                "randomiser": hexadecimal(randomisers[name], half),
                "ciphertext": hexadecimal(ciphertexts[name], 2 * modulus_bits),
                "decrypted": hexadecimal(decrypt(ciphertexts[name]), modulus_bits),
            }
            for name in words
        ],
        "sum_of_all": {
            "ciphertext": hexadecimal(total, 2 * modulus_bits),
            "decrypted": hexadecimal(decrypt(total), modulus_bits),
        },
    }


def document() -> str:
    """The whole file."""
    sets = [vectors(2048, field_bits=19), vectors(3072, field_bits=19, only=("every-field-full", "random-1"))]
    return json.dumps({"source": "tests/vectors/generate_paillier.py", "sets": sets}, indent=1) + "\n"


if __name__ == "__main__":
    OUTPUT.write_text(document(), encoding="ascii")
