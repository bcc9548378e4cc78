"""The process that has OpenFHE: answers calls from the engine that started it until that is gone.

It keeps nothing between calls but contexts and the keys of the last few: a call can be made again at another worker.
"""

from __future__ import annotations

import os
import signal
import sys
from importlib.metadata import version

from he_core.arith.openfhe_backend import library
from he_core.arith.openfhe_backend.channel import Channel, ChannelClosedError


def main(reading: int, writing: int) -> None:
    """Serve the engine at the other ends of two pipes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's, which may still want a round finished
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    engine = Channel(reading, writing)
    try:
        _serve(engine)
    except ChannelClosedError:
        return  # the parent is gone: so are we


def _serve(engine: Channel) -> None:
    try:
        import openfhe  # noqa: F401 - whether it loads

        engine.send({"openfhe": version("openfhe")})
    except (ImportError, OSError) as error:
        engine.send({"error": _described(error)})
        return
    while True:
        head, arrays = engine.receive()
        try:
            answers, conversion_ns = library.call(head["call"], head["context"], arrays)
        except (*library.FAILURES, MemoryError) as error:  # anything else ends the process, which is told too
            engine.send({"error": _described(error)})
        else:
            engine.send({"conversion_ns": conversion_ns}, answers)


def _described(error: Exception) -> str:
    """The message without the path of the build machine that OpenFHE's begin with."""
    text = str(error) or type(error).__name__
    return text.rpartition(".cpp:")[2] if ".cpp:" in text else text
