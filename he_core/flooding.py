"""How much noise a partial decryption carries: the bound it must hide, the flooding, and how often a key may serve.

A threshold group's sum of encrypted one-time keys is (u, v) over R_Q, degree N'. With s = s_1 + .. + s_n it decrypts
to delta * sum(k) + e; what e is depends on s, and a partial decryption must not tell it (Asharov et al., EUROCRYPT
2012; Mouchet, Bertrand, Hubaux, J. Cryptology 36(2), 2023). Every holder of the set T adds noise uniform on [-2^b,
2^b) to each coefficient of lambda_j s_j u; the Lagrange factor comes first, so the noise is not multiplied.

*The bound E.* e = e_p * sum(r) + sum(e2) - s * (sum(e1) + what rounding u took) + K roundings of delta * k. s and e_p
are sums of n Gaussians, sub-Gaussian with n sigma^2, so each has a norm squared of at most 1.5 N' n sigma^2 but for a
probability under 2^-139 (Hsu, Kakade, Zhang, Electron. Commun. Probab. 17, 2012, theorem 2.1); given them, e is
sub-Gaussian in the clients' draws as in `he_core.planner`. What rounding takes away from v is not in E: v before
rounding is itself a ciphertext that may be known, so nothing of its rounding has to be hidden.

*The distance.* Uniform noise on 2^(b+1) points shifted by at most E is within E / 2^(b+1) of itself. A key has N
coefficients, so what all partial decryptions of a round show is within N E / 2^(b+1) of what could be simulated from
the sum's plaintext and the shares of t - 1 holders; D rounds, D times that. D is what keeps it at 2^-40.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

from he_core.codec import CodecShape
from he_core.errors import ParameterError
from he_core.params import RlweParameters
from he_core.planner import LARGEST_SAMPLE, NARROW, NORM_FACTOR

DISTANCE_BITS = 40
LEAST_DECRYPTIONS = 1024
U_BITS, V_BITS = 96, 32
"""Bits of a coefficient of u and v on the wire: Q is scaled to a power of two, so sums wrap as mod Q."""
WIDE_MODULUS = math.prod(RlweParameters.WIDE_PRIMES)


@dataclass(frozen=True)
class FloodingPlan:
    """What a threshold group's key encapsulation and partial decryptions look like.

    degree: N', of u. key_degree: N, of the one-time keys, of v and of partial decryptions.
    plaintext_bits: holds a sum of one-time keys. noise_bound: E. flooding_bits: b.
    decryptions: D, the rounds that a key may serve. largest_key: more than any coefficient of an honest sum of keys.
    """

    degree: int
    key_degree: int
    plaintext_bits: int
    noise_bound: float
    flooding_bits: int
    decryptions: int
    largest_key: int

    @property
    def payload_bytes(self) -> int:
        """Of an encrypted one-time key."""
        return self.degree * U_BITS // 8 + self.partial_bytes

    @property
    def partial_bytes(self) -> int:
        """Of a partial decryption's coefficients."""
        return self.key_degree * V_BITS // 8

    @property
    def distance_bits(self) -> float:
        """-log2 of the statistical distance of all partial decryptions that a key may serve."""
        ratio = self.key_degree * self.noise_bound * self.decryptions / 2.0 ** (self.flooding_bits + 1)
        return -math.log2(ratio)


@lru_cache(maxsize=256)
def plan_flooding(parameters: RlweParameters, shape: CodecShape) -> FloodingPlan:
    """The widest flooding that still decrypts. Raises ParameterError, with what to relax, if it hides too little."""
    made = _plan(parameters, shape.k_max)
    if made.decryptions < LEAST_DECRYPTIONS:
        fitting = max(
            (k for k in range(1, shape.k_max) if _plan(parameters, k).decryptions >= LEAST_DECRYPTIONS), default=0
        )
        ways = [f"k_max to {fitting} or fewer"] * (fitting > 0) + ["threshold and clients"]
        raise ParameterError(
            "k_max",
            shape.k_max,
            f"with threshold={parameters.threshold} of {parameters.clients} clients, noise that hides the shares for "
            f"{LEAST_DECRYPTIONS:,} rounds does not fit the modulus, {WIDE_MODULUS.bit_length()} bits; lower "
            f"{' or '.join(ways)}, or use a shared key",
        )
    return made


def _plan(parameters: RlweParameters, k_max: int) -> FloodingPlan:
    degree, key_degree = parameters.wide_degree, parameters.degree
    tail_bits = parameters.failure_bits + 1  # half of the allowed probability, as in he_core.planner
    plaintext_bits = (2 * LARGEST_SAMPLE * k_max).bit_length()
    noise = _noise_bound(degree, key_degree, k_max, parameters.clients, tail_bits)
    v_unit = WIDE_MODULUS / 2.0**V_BITS
    spare = WIDE_MODULUS / 2.0 ** (plaintext_bits + 1) - noise - (k_max + parameters.threshold + 2) / 2 * v_unit
    flooding_bits = max(0, math.floor(math.log2(spare / parameters.threshold))) if spare > 0 else 0
    decryptions = math.floor(2.0 ** (flooding_bits + 1 - DISTANCE_BITS) / (key_degree * noise))
    key_tail = NARROW * math.sqrt(k_max) * math.sqrt(2 * math.log(2) * (tail_bits + 1 + math.log2(key_degree)))
    return FloodingPlan(
        degree=degree,
        key_degree=key_degree,
        plaintext_bits=plaintext_bits,
        noise_bound=noise,
        flooding_bits=flooding_bits,
        decryptions=decryptions,
        largest_key=min(LARGEST_SAMPLE * k_max, math.ceil(key_tail)),
    )


def _noise_bound(degree: int, key_degree: int, k_max: int, clients: int, tail_bits: float) -> float:
    """What no coefficient of e exceeds, but with probability 2^-tail_bits."""
    norm = NARROW * math.sqrt(NORM_FACTOR * degree * clients)
    u_unit = WIDE_MODULUS / 2.0**U_BITS
    variance = k_max * (2 * (NARROW * norm) ** 2 + NARROW**2 + u_unit**2 / 12 * norm**2)
    # Means of u's rounding, and the rounding when u is scaled back, meet s by Cauchy and Schwarz.
    steady = (k_max + 1) * math.sqrt(degree) * norm + k_max * LARGEST_SAMPLE
    return steady + math.sqrt(variance) * math.sqrt(2 * math.log(2) * (tail_bits + 1 + math.log2(key_degree)))
