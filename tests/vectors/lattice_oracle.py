"""bfv and ckks in plain Python integers, after the papers and docs/wire-format.md alone: the oracle of their frames.

Slow and obvious. Polynomials are lists of N integers mod q; "evaluated" ones hold f(psi^(2 k + 1)) at index
bit-reverse(k), psi the smallest primitive 2N-th root of unity mod q, as OpenFHE orders them.
"""

from __future__ import annotations

import cmath
import random
from collections.abc import Sequence

Q = 2**50 - 2**14 + 1
WIDTH = 50
Polynomial = list[int]


def smallest_root(degree: int) -> int:
    """The smallest primitive 2N-th root of unity mod q."""
    candidates = (pow(base, (Q - 1) // (2 * degree), Q) for base in range(2, 100))
    root = next(root for root in candidates if pow(root, degree, Q) == Q - 1)
    return min(pow(root, exponent, Q) for exponent in range(1, 2 * degree, 2))


def bit_reversed(index: int, bits: int) -> int:
    return int(f"{index:0{bits}b}"[::-1], 2)


def _transform(values: Sequence[int], root: int) -> Polynomial:
    """sum_j values[j] root^(j k) for every k: the recursion of Cooley and Tukey."""
    if len(values) == 1:
        return list(values)
    even, odd = (_transform(values[start::2], root * root % Q) for start in (0, 1))
    out, factor = [0] * len(values), 1
    for k, (left, right) in enumerate(zip(even, odd, strict=True)):
        turned = factor * right % Q
        out[k], out[k + len(even)] = (left + turned) % Q, (left - turned) % Q
        factor = factor * root % Q
    return out


class Ring:
    """Z_q[X] / (X^N + 1)."""

    def __init__(self, degree: int) -> None:
        self.degree, self.psi = degree, smallest_root(degree)
        bits = degree.bit_length() - 1
        self._order = [bit_reversed(k, bits) for k in range(degree)]

    def evaluated(self, coefficients: Sequence[int]) -> Polynomial:
        scaled = [value * pow(self.psi, j, Q) % Q for j, value in enumerate(coefficients)]
        values = _transform(scaled, self.psi * self.psi % Q)
        return [values[k] for k in self._order]

    def coefficients(self, evaluated: Sequence[int]) -> Polynomial:
        values = [evaluated[k] for k in self._order]
        summed = _transform(values, pow(self.psi, -2, Q))
        return [value * pow(self.degree * pow(self.psi, j, Q), -1, Q) % Q for j, value in enumerate(summed)]


def centred(value: int, modulus: int = Q) -> int:
    return value - modulus if value > modulus // 2 else value


def joined(rows: Sequence[Sequence[int]], primes: Sequence[int]) -> list[int]:
    """Numbers in [-Q/2, Q/2) from residues mod each prime of Q: the Chinese remainder theorem."""
    modulus, values = primes[0], [int(value) for value in rows[0]]
    for row, prime in zip(rows[1:], primes[1:], strict=True):
        inverse = pow(modulus, -1, prime)
        values = [x + modulus * ((int(y) - x) * inverse % prime) for x, y in zip(values, row, strict=True)]
        modulus *= prime
    return [centred(value, modulus) for value in values]


def unpacked(packed: bytes, count: int) -> Polynomial:
    stream = int.from_bytes(packed, "little")
    return [stream >> WIDTH * i & (1 << WIDTH) - 1 for i in range(count)]


def packed(values: Sequence[int]) -> bytes:
    return sum(value << WIDTH * i for i, value in enumerate(values)).to_bytes(len(values) * WIDTH // 8, "little")


def phase(ring: Ring, ciphertext: Sequence[int], secret: Sequence[int]) -> list[int]:
    """c0 + c1 s, centred coefficients; ciphertext: c0 then c1, evaluated, as is the secret."""
    c0, c1 = ciphertext[: ring.degree], ciphertext[ring.degree :]
    summed = [(a + b * s) % Q for a, b, s in zip(c0, c1, secret, strict=True)]
    return [centred(value) for value in ring.coefficients(summed)]


def bfv_decrypt(
    ring: Ring, ciphertext: Sequence[int], secret: Sequence[int], plaintext_bits: int
) -> tuple[list[int], int]:
    """The numbers mod t, and the largest noise: |c0 + c1 s - q m / t|, rounded."""
    t, numbers, largest = 1 << plaintext_bits, [], 0
    for value in phase(ring, ciphertext, secret):
        number = (2 * value * t + Q) // (2 * Q)  # to nearest
        largest = max(largest, abs(value - (2 * number * Q + t) // (2 * t)))
        numbers.append(number % t)
    return numbers, largest


def bfv_encrypt(
    ring: Ring, public: tuple[Polynomial, Polynomial], numbers: Sequence[int], plaintext_bits: int, seed: int
) -> Polynomial:
    """c0 then c1 under public = (b, a). The seed makes it repeatable, and good for tests alone."""
    source, degree = random.Random(seed), ring.degree
    u = ring.evaluated([source.choice((-1, 0, 1)) % Q for _ in range(degree)])
    errors = [ring.evaluated([round(source.gauss(0, 3.19)) % Q for _ in range(degree)]) for _ in range(2)]
    t = 1 << plaintext_bits
    message = ring.evaluated([(2 * number * Q + t) // (2 * t) % Q for number in numbers])
    c0 = [(b * x + e + m) % Q for b, x, e, m in zip(public[0], u, errors[0], message, strict=True)]
    c1 = [(a * x + e) % Q for a, x, e in zip(public[1], u, errors[1], strict=True)]
    return c0 + c1


def ckks_decrypt(
    ring: Ring, ciphertext: Sequence[int], secret: Sequence[int], scale_bits: int, slots: int
) -> list[float]:
    """The first 2 * slots numbers: real and imaginary parts of the message at zeta^(5^j), zeta = exp(i pi / N)."""
    message = phase(ring, ciphertext, secret)
    numbers, power = [], 1
    for _ in range(slots):
        point = cmath.exp(1j * cmath.pi * power / ring.degree)
        value, x = 0j, 1 + 0j
        for coefficient in message:
            value += coefficient * x
            x *= point
        numbers += [value.real / 2**scale_bits, value.imag / 2**scale_bits]
        power = power * 5 % (2 * ring.degree)
    return numbers
