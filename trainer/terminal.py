"""What every command shares: the console for people, and errors that end in a line."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

from he_core import HeCoreError
from trainer.errors import TrainerError
from trainer.interruption import FAILED, INTERRUPTED

console = Console(stderr=True)


@contextmanager
def errors_in_a_line(stopped: str = "stopped") -> Iterator[None]:
    """Our own errors end the program with their message and status 1; anything else is a bug and keeps its trace.

    stopped: what is said after Ctrl-C or SIGTERM.
    """
    try:
        yield
    except (TrainerError, HeCoreError) as error:
        console.print(f"error: {error}", markup=False, highlight=False, soft_wrap=True)
        sys.exit(FAILED)
    except KeyboardInterrupt:
        console.print(stopped)
        sys.exit(INTERRUPTED)
