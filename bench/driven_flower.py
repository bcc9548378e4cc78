"""Flower's SecAgg+, its functions called alone, for `bench_peer_flower.py`: no encryption, but masks that cancel.

Three clients, two neighbours each, the defaults of Flower's workflow: values clipped to 8, 2^22 steps, numbers modulo
2^32. Key agreement and the sharing of seeds, which do not grow with the values, are done before. Client: weight,
quantise, mask. Server: parse and add. Server at the end: take the clients' own masks off, dequantise.
"""

from __future__ import annotations

import os
from importlib.metadata import version
from itertools import combinations

import numpy as np
from flwr.common import bytes_to_ndarray, ndarray_to_bytes
from flwr.common.secure_aggregation.ndarrays_arithmetic import (
    factor_combine,
    factor_extract,
    get_parameters_shape,
    parameters_addition,
    parameters_mod,
    parameters_multiply,
    parameters_subtraction,
)
from flwr.common.secure_aggregation.quantization import dequantize, quantize
from flwr.common.secure_aggregation.secaggplus_utils import pseudo_rand_gen
from numpy.typing import NDArray

from driven import serve
from peer import Frames, Peer

CLIENTS = 3
CLIPPING, STEPS, MODULUS = 8.0, 1 << 22, 1 << 32
Arrays = list[NDArray]


class SecAggPlus(Peer):
    name = f"Flower {version('flwr')} SecAgg+, masks"
    note = "masking, not encryption: the server reads the sum. Its masks come from a 32-bit seed, whatever the key"
    encrypts = False
    tolerance = 2 * 2 * CLIPPING / STEPS
    addends = CLIENTS

    def __init__(self) -> None:
        self.own = [os.urandom(32) for _ in range(CLIENTS)]
        self.shared = {pair: os.urandom(32) for pair in combinations(range(CLIENTS), 2)}

    def encrypt(self, values: NDArray[np.float32], client: int = 0) -> Frames:
        weighted = parameters_multiply([values], 1.0)
        numbers = factor_combine(STEPS, quantize(weighted, CLIPPING, STEPS))
        shapes = get_parameters_shape(numbers)
        numbers = parameters_addition(numbers, pseudo_rand_gen(self.own[client], MODULUS, shapes))
        for pair, seed in self.shared.items():
            if client in pair:
                mask = pseudo_rand_gen(seed, MODULUS, shapes)
                apply = parameters_addition if client == max(pair) else parameters_subtraction
                numbers = apply(numbers, mask)
        return [ndarray_to_bytes(array) for array in parameters_mod(numbers, MODULUS)]

    def start(self, received: Frames) -> Arrays:
        return [bytes_to_ndarray(data) for data in received]

    def add(self, total: Arrays, received: Frames) -> Arrays:
        return parameters_mod(parameters_addition(total, self.start(received)), MODULUS)

    def finish(self, total: Arrays) -> Frames:
        return [ndarray_to_bytes(array) for array in total]

    def decrypt(self, received: Frames, count: int) -> NDArray[np.float32]:
        numbers = self.start(received)
        for seed in self.own:
            numbers = parameters_subtraction(numbers, pseudo_rand_gen(seed, MODULUS, get_parameters_shape(numbers)))
        weight, numbers = factor_extract(parameters_mod(numbers, MODULUS))
        (total,) = dequantize(numbers, CLIPPING, STEPS)
        return ((total - (CLIENTS - 1) * CLIPPING) * (STEPS / weight)).astype(np.float32)


if __name__ == "__main__":
    serve(SecAggPlus)
