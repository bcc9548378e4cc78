"""The planner of `rlwe`: from K_max, bits per value and a failure probability to the cheapest layout.

Decryption of a sum is exact unless the noise of a coefficient reaches half the distance between two messages. What
follows bounds that probability by sub-Gaussian tails and a union over coefficients; nothing in it is an estimate
from experiments. q = 63 * 2^44 + 1, K clients, N the degree. The tails are those of ideal Gaussians; the samplers'
end at 63 and are otherwise within a stated distance of them (`cext/sample/sample.h`).

*Values.* Client i sends floor(b_i / 2^d), b_i = a k_i + e_i + delta m_i + 2^(d-1) mod q, with delta * 2^p = q - 1.
The sum minus the rounded mask a * sum(k_i) is delta * sum(m_i) plus:
- the errors: discrete Gaussians of sigma WIDE, sub-Gaussian with that proxy (Micciancio, Peikert, EUROCRYPT 2012,
  Lemma 2.8);
- what dropping d bits takes away, once per client and once at the decryptor: uniform on 2^d points (the mask is
  pseudorandom), a sum of d independent signs and so sub-Gaussian with its variance (4^d - 1) / 12, its mean at most
  1/2;
- wraps: reductions mod q where sums live mod q - 1 count 1 each, at most 2 K + 2.

*The one-time key.* u_i = a_p r_i + e1_i and v_i = b_p r_i + e2_i + delta_k k_i, b_p = a_p s + e_p, with du and dv
bits dropped. sum(v) - s * sum(u) is delta_k * sum(k_i) plus e_p * sum(r) + sum(e2) - s * sum(e1) and the roundings,
those of u times s. For given e_p and s these are sub-Gaussian in the clients' draws with the squared norms of e_p
and s as factors; each norm squared is at most 1.5 N sigma^2 but for a probability under 2^-139 (Banaszczyk 1993,
Lemma 1.5). Wraps and means of u, at most 3/2 a client, meet s by Cauchy and Schwarz.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass
from functools import cached_property, lru_cache

from he_core.codec import CodecShape
from he_core.errors import ParameterError
from he_core.params import RlweParameters

NARROW = 4.5
"""sigma of the keys, the one-time keys, and everything in their encryption."""
WIDE = NARROW * math.sqrt(2)
"""sigma of the errors: decryptors learn sums of keys and errors, hence wider than usual (hint-RLWE; Willow, eprint
2024/936)."""
LARGEST_SAMPLE = 63  # the samplers' support ends there
SPARE_BITS = 44  # q - 1 = 63 * 2^44
NORM_FACTOR = 1.5


@dataclass(frozen=True)
class RlwePlan:
    """Everything about a vector's layout; the same for all who have parameters and codec shape.

    degree: N. value_count: values, a field each.
    field_bits, fields_per_coefficient: how values share a coefficient's plaintext.
    dropped_bits, key_u_dropped_bits, key_v_dropped_bits: low bits not sent, of the values' part and the key's two.
    key_plaintext_bits: holds a sum of one-time keys.
    failure_bits: -log2 of the bound on the probability that a sum decrypts wrongly, rounded down.
    """

    degree: int
    value_count: int
    field_bits: int
    fields_per_coefficient: int
    dropped_bits: int
    key_plaintext_bits: int
    key_u_dropped_bits: int
    key_v_dropped_bits: int
    failure_bits: float

    @property
    def plaintext_bits(self) -> int:
        """log2 of the plaintext modulus t."""
        return self.field_bits * self.fields_per_coefficient

    @property
    def coefficient_count(self) -> int:
        """Coefficients that hold the values, the last polynomial cut short."""
        return -(-self.value_count // self.fields_per_coefficient)

    @property
    def polynomial_count(self) -> int:
        return -(-self.coefficient_count // self.degree)

    @cached_property
    def parts(self) -> tuple[tuple[int, int], ...]:
        """(coefficients, dropped bits) of the ciphertext's parts in wire order: key u, key v, values."""
        return (
            (self.degree, self.key_u_dropped_bits),
            (self.degree, self.key_v_dropped_bits),
            (self.coefficient_count, self.dropped_bits),
        )

    @property
    def payload_bytes(self) -> int:
        return sum(part_bytes(count, dropped) for count, dropped in self.parts)


def coefficient_width(dropped_bits: int) -> int:
    """Bits of a coefficient on the wire."""
    return RlweParameters.MODULUS_BITS - dropped_bits


def part_bytes(count: int, dropped_bits: int) -> int:
    return -(-count * coefficient_width(dropped_bits) // 8)


@lru_cache(maxsize=256)
def plan(parameters: RlweParameters, shape: CodecShape) -> RlwePlan:
    """The layout with the shortest ciphertext. Raises ParameterError naming what to relax where there is none."""
    # Half of the allowed probability for the values, half for the key.
    budget_bits = parameters.failure_bits + 1.0
    degree = parameters.degree
    key = _plan_key(degree, shape.k_max, budget_bits)
    values = _plan_values(shape, budget_bits)
    if key is None or values is None:
        raise ParameterError("k_max", shape.k_max, _relaxations(degree, shape, budget_bits))
    fields, dropped_bits, values_failure_bits = values
    key_u_dropped, key_v_dropped, key_failure_bits = key
    return RlwePlan(
        degree=degree,
        value_count=shape.value_count,
        field_bits=shape.field_bits,
        fields_per_coefficient=fields,
        dropped_bits=dropped_bits,
        key_plaintext_bits=_key_plaintext_bits(shape.k_max),
        key_u_dropped_bits=key_u_dropped,
        key_v_dropped_bits=key_v_dropped,
        failure_bits=-math.log2(2.0**-values_failure_bits + 2.0**-key_failure_bits),
    )


def noise_bound(clients: int, dropped_bits: int, failure_bits: float) -> float:
    """What a value coefficient's noise in a sum of `clients` exceeds with probability 2^-failure_bits at most."""
    deviation = math.sqrt(clients * WIDE**2 + (clients + 1) * _rounding_variance(dropped_bits))
    return _steady_noise(clients) + deviation * math.sqrt(2 * math.log(2) * (failure_bits + 1))


def _plan_values(shape: CodecShape, budget_bits: float) -> tuple[int, int, float] | None:
    """(fields per coefficient, dropped bits, failure bits) of the shortest values' part, or None."""
    best = None
    for fields in range(1, SPARE_BITS // shape.field_bits + 1):
        plaintext_bits = fields * shape.field_bits
        count = -(-shape.value_count // fields)
        for dropped in range(SPARE_BITS - plaintext_bits, -1, -1):
            variance = shape.k_max * WIDE**2 + (shape.k_max + 1) * _rounding_variance(dropped)
            failure = _failure_bits(plaintext_bits, dropped, _steady_noise(shape.k_max), variance, count)
            if failure >= budget_bits and shape.k_max << coefficient_width(dropped) <= 1 << 64:
                size = count * coefficient_width(dropped)
                if best is None or size <= best[0]:
                    best = (size, (fields, dropped, failure))
                break  # fewer dropped bits only cost more
    return None if best is None else best[1]


def _plan_key(degree: int, k_max: int, budget_bits: float) -> tuple[int, int, float] | None:
    """(bits dropped of u, of v, failure bits) of the shortest encapsulation, or None."""
    plaintext_bits = _key_plaintext_bits(k_max)
    norm = math.sqrt(NORM_FACTOR * degree) * NARROW
    best = None
    for u_dropped in range(SPARE_BITS + 1):
        for v_dropped in range(SPARE_BITS - plaintext_bits, -1, -1):
            variance = k_max * (2 * (NARROW * norm) ** 2 + NARROW**2 + _rounding_variance(u_dropped) * norm**2) + (
                k_max + 1
            ) * _rounding_variance(v_dropped)
            steady = _steady_noise(k_max) + 1.5 * k_max * math.sqrt(degree) * norm
            failure = _failure_bits(plaintext_bits, v_dropped, steady, variance, degree)
            if failure >= budget_bits:
                if best is None or u_dropped + v_dropped > best[0] + best[1]:
                    best = (u_dropped, v_dropped, failure)
                break
    return best


def _failure_bits(plaintext_bits: int, dropped_bits: int, steady: float, variance: float, count: int) -> float:
    """-log2 of the bound on the probability that any of `count` coefficients is decrypted wrongly."""
    spacing = 63 << (SPARE_BITS - dropped_bits - plaintext_bits)  # between messages, in units of 2^dropped_bits
    margin = (spacing // 2 << dropped_bits) - steady
    if margin <= 0:
        return 0.0
    return margin**2 / (2 * variance * math.log(2)) - 1 - math.log2(count)


def _rounding_variance(dropped_bits: int) -> float:
    return (4.0**dropped_bits - 1) / 12


def _steady_noise(clients: int) -> float:
    """Wraps, and the means of what dropping bits takes away."""
    return 2 * clients + 2 + (clients + 1) / 2


def _key_plaintext_bits(k_max: int) -> int:
    return (2 * LARGEST_SAMPLE * k_max).bit_length()


def _relaxations(degree: int, shape: CodecShape, budget_bits: float) -> str:
    """Which k_max, or which bits, there would be a plan for."""

    def feasible(bits: int, k_max: int) -> bool:
        if bits + (k_max - 1).bit_length() > 32:
            return False
        trial = CodecShape(bits, k_max, shape.value_count, shape.weight_reference)
        return _plan_values(trial, budget_bits) is not None and _plan_key(degree, k_max, budget_bits) is not None

    # More clients never need less: the most that fit are found by bisection.
    clients = bisect_left(range(1, shape.k_max), True, key=lambda k_max: not feasible(shape.bits, k_max))
    bits = max((bits for bits in range(2, shape.bits) if feasible(bits, shape.k_max)), default=0)
    ways = [f"k_max to {clients} or fewer"] * (clients > 0) + [f"bits to {bits} or fewer"] * (bits > 0)
    return (
        f"with bits={shape.bits} the noise of so many clients does not fit the modulus, "
        f"{RlweParameters.MODULUS_BITS} bits; lower {' or '.join(ways) or 'it'}, or use scheme paillier"
    )
