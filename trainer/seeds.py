"""Streams of random numbers that must not meet, though all start from `run.seed`.

A stream is `numpy.random.default_rng([run.seed, STREAM, ...])`. The numbers are larger than any client's, which is
what batch order and stochastic rounding have in that place. Every stream is a function of seed, round and client, so
that a resumed run draws the same.
"""

from __future__ import annotations

CHOICE = int.from_bytes(b"choice", "big")
"""Which clients are asked to take part in a round."""

DROP_OUT = int.from_bytes(b"drop-out", "big")
"""Which of them drop out."""

ORDER = int.from_bytes(b"order", "big")
"""In which order clients train against a body they share."""

LAPLACE = int.from_bytes(b"laplace", "big")
"""Noise on the updates."""

LEAKAGE = int.from_bytes(b"leakage", "big")
"""What attackers on the cut draw: surrogates, decoders, the order of their images."""
