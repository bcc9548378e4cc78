"""As `he_core.flooding`, for partial decryptions of `bfv`, whose noise is OpenFHE's: what it hides, and how often.

A sum of K ciphertexts (c0, c1) over R_Q, degree N, under b = e_p - a s decrypts to round(Q m / t) + e; what e is
depends on s, and parts lambda_j s_j c1 + noise must not tell it. OpenFHE's NOISE_FLOODING_MULTIPARTY draws the noise
uniform on W = q_1 q_2 points, a little under 2^120, for every coefficient of every ciphertext; the Lagrange factor
comes first, so the noise is not multiplied.

*The bound E.* e = e_p * sum(v) + sum(e0) + s * sum(e1) + K roundings of Q m / t: s and e_p are sums of n ternary
polynomials and of n Gaussians, v ternary, e0 and e1 Gaussian, of OpenFHE's deviation. A ternary coefficient is
sub-Gaussian with 1 (Hoeffding, JASA 58, 1963), so s and e_p have norms squared of at most 1.5 N n and 1.5 N n sigma^2
but for a probability under 2^-139 (Hsu, Kakade, Zhang, Electron. Commun. Probab. 17, 2012, theorem 2.1, and N of
8,192 or more); given them, e is sub-Gaussian in the clients' draws.

*The distance.* As there: within C E / W for a round of C coefficients, all of them, as every one is decrypted with
noise of its own; D rounds, D times that, at most 2^-40.

*Decrypting.* c0 and parts are divided by W and rounded where they cross the wire, so that the K contributions and the
t parts add at most K + 2 t + 2 units to a coefficient mod q_3, of the q_3 / 2 t_plain that decrypting admits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from he_core.codec import CodecShape
from he_core.flooding import DISTANCE_BITS
from he_core.params import BfvParameters
from he_core.planner import NORM_FACTOR

FAILURE_BITS = 65
"""The bound holds but with probability 2^-65 in a round."""

SIGMA = 3.19
"""Of OpenFHE's errors: the standard's."""


@dataclass(frozen=True)
class FloodedSum:
    """What partial decryptions of one round show. coefficients: C. noise_bound: E. decryptions: D.

    width: W. largest_residue: more than an honest decryption's coefficient is off a multiple of q_3 / t_plain.
    """

    coefficients: int
    noise_bound: float
    width: int
    decryptions: int
    largest_residue: int

    @property
    def distance_bits(self) -> float:
        """-log2 of the statistical distance of all partial decryptions that a key may serve."""
        return math.log2(self.width / (self.coefficients * self.noise_bound * self.decryptions))


def flooded_sum(parameters: BfvParameters, shape: CodecShape, coefficients: int) -> FloodedSum:
    """Of sums of `shape` that take so many coefficients."""
    degree, clients, k_max = parameters.degree, parameters.clients, shape.k_max
    first, second, _ = parameters.moduli
    norm_squared = NORM_FACTOR * degree * clients
    variance = k_max * ((1 + 1) * SIGMA**2 * norm_squared + SIGMA**2)
    tail = math.sqrt(2 * math.log(2) * (FAILURE_BITS + 1 + math.log2(coefficients)))
    noise = math.sqrt(variance) * tail + k_max
    decryptions = math.floor(2.0 ** (math.log2(first * second) - DISTANCE_BITS) / (coefficients * noise))
    return FloodedSum(coefficients, noise, first * second, decryptions, k_max + 2 * parameters.threshold + 2)
