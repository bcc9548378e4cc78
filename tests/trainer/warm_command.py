"""`dcsfl-train` again and again in processes of their own, without importing torch anew each time.

Run as a script: for every JSON line on standard input it forks a child that is the command line with the given
arguments, and answers with the child's process id, then, once it ended, with its exit status (negative: the signal).
Nothing was computed before the fork, so a child is what a fresh interpreter would be after its imports.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import traceback
from typing import Any

import trainer.session  # noqa: F401 - what takes seconds
from trainer.cli import main


def serve() -> None:
    """Answer requests until standard input ends."""
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            os._exit(_command_line(request))
        _answer(child)
        _, status = os.waitpid(child, 0)
        _answer(os.waitstatus_to_exitcode(status))


def _answer(number: int) -> None:
    print(number, flush=True)


def _command_line(request: dict[str, Any]) -> int:
    """The exit status of the command."""
    os.chdir(request["cwd"])
    for stream, name in ((0, os.devnull), (1, request["stdout"]), (2, request["stderr"])):
        os.dup2(os.open(name, os.O_RDWR | os.O_CREAT, 0o600), stream)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if request["file_bytes"] is not None:  # a disk that takes no larger file
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (request["file_bytes"],) * 2)
    status: Any = 0
    try:
        main(request["arguments"], prog_name="dcsfl-train")
    except SystemExit as end:
        status = end.code
    except BaseException:
        traceback.print_exc()
        status = 70
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    return status if isinstance(status, int) else int(status is not None)


serve()
