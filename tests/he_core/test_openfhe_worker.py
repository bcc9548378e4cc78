"""The worker process: found, started, killed, hung, orphaned, forked; and what it says of each."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from he_core import Aggregator, Codec, Decryptor, Encryptor, create
from he_core.arith.openfhe_backend import interpreter, workers
from he_core.arith.openfhe_backend.channel import Channel, ChannelClosedError
from he_core.arith.openfhe_backend.workers import Worker
from he_core.errors import BackendUnavailableError, LibraryError, WorkerDiedError, WorkerStartError

PYTHON = interpreter.place().python
needs_worker = pytest.mark.skipif(
    PYTHON is None, reason=f"no worker runs here: {interpreter.place().obstacle or 'OpenFHE is in this process'}"
)
CONTEXT = {
    "encoding": "coefficients",
    "degree": 2048,
    "security_bits": 128,
    "modulus_bits": 50,
    "precision_bits": 20,
    "addends": 8,
}
CHUNKS = 600  # a third of a second and more of encryption
CODEC = Codec(16, 8, (200_000,), (1.0,))


@pytest.fixture
def worker() -> Worker:
    assert PYTHON is not None
    return Worker(PYTHON)


@pytest.fixture
def keys(worker: Worker) -> list[np.ndarray]:
    return worker.call("generate_keys", CONTEXT, [])[0]


def numbers() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 1 << 20, (CHUNKS, 2048), np.uint32)


def after(seconds: float, act: Callable[[], Any]) -> threading.Timer:
    timer = threading.Timer(seconds, act)
    timer.start()
    return timer


def send(number: int, worker: Worker) -> Callable[[], None]:
    def act() -> None:
        assert worker.pid is not None
        os.kill(worker.pid, number)

    return act


# --- death


@needs_worker
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM])
def test_a_worker_killed_in_a_call_is_reported_and_the_call_made_again(
    worker: Worker, keys: list[np.ndarray], number: int
) -> None:
    public, secret = keys
    first = worker.pid
    killing = after(0.1, send(number, worker))
    with pytest.warns(RuntimeWarning, match=rf"was ended by {signal.Signals(number).name} .* call to encrypt"):
        [residues], _ = worker.call("encrypt", CONTEXT, [public, numbers()])
    killing.join()
    assert worker.pid not in (None, first)
    [decrypted], _ = worker.call("decrypt", CONTEXT, [secret, residues])
    np.testing.assert_array_equal(decrypted, numbers())


@needs_worker
def test_a_worker_that_dies_again_ends_the_call_and_the_next_one_works(
    worker: Worker, keys: list[np.ndarray]
) -> None:
    stop = threading.Event()

    def kill_all() -> None:
        seen = None
        while not stop.is_set():
            pid = worker.pid
            if pid is not None and pid != seen:
                time.sleep(0.1)
                os.kill(pid, signal.SIGKILL)
                seen = pid

    killer = threading.Thread(target=kill_all)
    killer.start()
    with pytest.warns(RuntimeWarning, match="starting another"), pytest.raises(WorkerDiedError, match="SIGKILL"):
        worker.call("encrypt", CONTEXT, [keys[0], numbers()])
    stop.set()
    killer.join()
    [residues], _ = worker.call("encrypt", CONTEXT, [keys[0], numbers()[:2]])
    [decrypted], _ = worker.call("decrypt", CONTEXT, [keys[1], residues])
    np.testing.assert_array_equal(decrypted, numbers()[:2])


@needs_worker
def test_no_update_is_lost_or_counted_twice_when_workers_die_in_a_round() -> None:
    """Both are killed again and again while four clients encrypt: the mean is theirs, each once."""
    scheme = create("bfv", threads=2)
    key_pair = scheme.generate_keys()
    public = scheme.public_key(key_pair.public)
    source = np.random.default_rng(2)
    updates = [source.uniform(-1, 1, CODEC.value_count).astype(np.float32) for _ in range(4)]
    aggregator = Aggregator(scheme, public)
    aggregator.open(0, CODEC.shape, clients=range(4))
    everyone = [caller.__self__ for caller in scheme._lattice._callers]  # type: ignore[attr-defined]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for client, update in enumerate(updates):
            victim = everyone[client % 2]
            killing = after(0.05, send(signal.SIGKILL, victim)) if victim.pid is not None else None
            aggregator.add(Encryptor(scheme, public).encrypt(update, CODEC, round=0, client=client))
            if killing is not None:
                killing.join()
    mean = Decryptor(scheme, scheme.secret_key(key_pair)).decrypt(aggregator.result(), CODEC, round=0)
    assert [warning for warning in caught if "was ended by SIGKILL" in str(warning.message)]
    np.testing.assert_allclose(mean, np.mean(updates, axis=0), rtol=0, atol=CODEC.steps[0])


@needs_worker
def test_a_worker_that_hangs_is_killed_and_the_call_made_again(
    worker: Worker, keys: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert worker._process is not None
    worker._process.channel.seconds = 1.0
    send(signal.SIGSTOP, worker)()
    with pytest.warns(RuntimeWarning, match="did not answer in time and was killed"):
        [residues], _ = worker.call("encrypt", CONTEXT, [keys[0], numbers()[:2]])
    assert residues.shape == (2, 2, 2048)


@needs_worker
def test_ctrl_c_does_not_reach_the_worker(worker: Worker, keys: list[np.ndarray]) -> None:
    first = worker.pid
    after(0.05, send(signal.SIGINT, worker))
    worker.call("encrypt", CONTEXT, [keys[0], numbers()])
    assert worker.pid == first


@needs_worker
def test_a_library_error_keeps_the_worker(worker: Worker, keys: list[np.ndarray]) -> None:
    first = worker.pid
    with pytest.raises(LibraryError, match="could not encrypt"):
        worker.call("encrypt", {**CONTEXT, "precision_bits": 31}, [keys[0], numbers()[:1]])
    assert worker.pid == first


# --- parents


_PARENT = """
import sys, threading, time
import numpy as np
from pathlib import Path
from he_core.arith.openfhe_backend.workers import Worker
worker = Worker(Path(sys.argv[1]))
context = {context!r}
[public, secret], _ = worker.call("generate_keys", context, [])
print(worker.pid, flush=True)
if sys.argv[2] == "busy":
    while True:
        worker.call("encrypt", context, [public, np.zeros((200, 2048), np.uint32)])
elif sys.argv[2] == "idle":
    time.sleep(600)
"""


def is_gone(pid: int, seconds: float = 15) -> bool:
    """Whether the process ends within `seconds`; one that has ended may wait to be reaped."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":
            return True
        time.sleep(0.05)
    return False


@needs_worker
@pytest.mark.parametrize("doing", ["idle", "busy", "ended"])
def test_a_worker_goes_with_its_parent(doing: str) -> None:
    command = [sys.executable, "-W", "ignore", "-c", _PARENT.format(context=CONTEXT), str(PYTHON), doing]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    if doing != "ended":
        time.sleep(0.3)
        parent.kill()
    parent.wait(30)
    parent.stdout.close()
    assert is_gone(pid)


@needs_worker
def test_a_forked_process_has_a_worker_of_its_own(worker: Worker, keys: list[np.ndarray]) -> None:
    first = worker.pid
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:  # no pytest in here: report and leave
        worker.call("encrypt", CONTEXT, [keys[0], numbers()[:1]])
        os.write(writing, str(worker.pid).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        other = int(pipe.read())
    os.waitpid(child, 0)
    assert other != first
    worker.call("encrypt", CONTEXT, [keys[0], numbers()[:1]])
    assert worker.pid == first
    assert is_gone(other)


# --- finding and starting


@pytest.fixture
def looked_for_again() -> Iterator[None]:
    interpreter.place.cache_clear()
    yield
    interpreter.place.cache_clear()


def program(path: Path, text: str) -> Path:
    path.write_text(text, encoding="ascii")
    path.chmod(0o755)
    return path


PLACES = {
    "absent": (None, "no such program"),
    "no-python": ("#!/bin/sh\necho hello\n", "does not run as a Python"),
    "without-openfhe": (
        "#!/bin/sh\necho \"ModuleNotFoundError: No module named 'openfhe'\" >&2\nexit 1\n",
        "cannot import numpy and openfhe: ModuleNotFoundError: No module named 'openfhe'",
    ),
    "older": (
        "#!/bin/sh\necho '\"1.2.3.0.22.4\"'\n",
        "has openfhe 1.2.3.0.22.4; this engine knows the objects of 1.6.1",
    ),
    "alike": ("#!/bin/sh\necho '\"1.6.10\"'\n", "has openfhe 1.6.10; this engine"),
    "crashing": ("#!/bin/sh\nkill -SEGV $$\n", "cannot import numpy and openfhe: exit status -11"),
}


@pytest.mark.usefixtures("looked_for_again")
@pytest.mark.parametrize("what", PLACES)
def test_an_interpreter_that_will_not_do_is_refused_with_the_reason_and_the_fix(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, reason = PLACES[what]
    path = tmp_path / "python"
    if text is not None:
        program(path, text)
    monkeypatch.setenv(interpreter.VARIABLE, str(path))
    with pytest.raises(BackendUnavailableError) as refusal:
        create("bfv", "openfhe")
    assert reason in str(refusal.value)
    assert str(path) in str(refusal.value)
    if what != "no-python":
        assert "pip install numpy openfhe==1.6.1" in str(refusal.value)


@pytest.mark.usefixtures("looked_for_again")
def test_where_openfhe_is_nowhere_the_user_is_told_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(interpreter.VARIABLE, raising=False)
    monkeypatch.setattr(interpreter, "own_environment", lambda: tmp_path / "openfhe")
    monkeypatch.setitem(sys.modules, "openfhe", None)  # `import openfhe` fails, whatever is installed
    with pytest.raises(BackendUnavailableError, match=r"openfhe_backend\.install; or by hand: python3\.10 -m venv"):
        create("ckks")


def test_a_worker_that_cannot_start_says_why(tmp_path: Path) -> None:
    for text, reason in (
        ("#!/bin/sh\necho out of luck >&2\nexit 3\n", r"exited with status 3 \(out of luck\)"),
        ("#!/bin/sh\nkill -KILL $$\n", "was ended by SIGKILL"),
    ):
        with pytest.raises(WorkerStartError, match=rf"cannot start: .*{reason}"):
            Worker(program(tmp_path / "python", text)).call("generate_keys", CONTEXT, [])
    with pytest.raises(WorkerStartError, match=r"cannot start: .*No such file"):
        Worker(tmp_path / "absent").call("generate_keys", CONTEXT, [])


def test_a_worker_that_never_says_hello_is_not_waited_for_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "START_SECONDS", 0.3)
    with pytest.raises(WorkerStartError, match="did not answer in time and was killed"):
        Worker(program(tmp_path / "python", "#!/bin/sh\nexec sleep 60\n")).call("generate_keys", CONTEXT, [])


def test_a_python_without_openfhe_says_so_at_the_start() -> None:
    """This one's own, with an openfhe that is not one in its way."""
    assert Path(sys.executable) != PYTHON
    with pytest.raises(WorkerStartError, match="No module named 'openfhe'"):
        Worker(Path(sys.executable)).call("generate_keys", CONTEXT, [])


# --- the channel


@pytest.fixture
def ends() -> tuple[Channel, Channel]:
    one, other = os.pipe(), os.pipe()
    return Channel(one[0], other[1], 5.0), Channel(other[0], one[1], 5.0)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["<u4", "<u8", "<f8"]), st.lists(st.integers(0, 7), min_size=1, max_size=3), st.binary()
        ),
        max_size=4,
    )
)
def test_messages_arrive_as_they_were_sent(arrays: list[tuple[str, list[int], bytes]]) -> None:
    one, other = os.pipe(), os.pipe()
    left, right = Channel(one[0], other[1], 5.0), Channel(other[0], one[1], 5.0)
    sent = []
    for dtype, shape, content in arrays:
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        data = (content * (size // max(1, len(content)) + 1) if content else bytes(size))[:size]
        sent.append(np.frombuffer(data, dtype).reshape(shape))
    left.send({"call": "x"}, sent)
    head, got = right.receive()
    assert head == {"call": "x"}
    assert [(a.dtype.str, a.shape, a.tobytes()) for a in got] == [(a.dtype.str, a.shape, a.tobytes()) for a in sent]
    left.close()
    right.close()


def test_a_message_larger_than_the_pipe_arrives(ends: tuple[Channel, Channel]) -> None:
    left, right = ends
    array = np.arange(3_000_000, dtype="<u8")
    sender = threading.Thread(target=left.send, args=({}, [array]))
    sender.start()
    _, [got] = right.receive()
    sender.join()
    np.testing.assert_array_equal(got, array)


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xff\xff\xff",
        b"\x02\0\0\0{}",
        b"\x03\0\0\0[1]",
        b"\x04\0\0\0nope",
        b'\x1e\0\0\0{"arrays": [["|O", 1000]]}    ',
        b'\x1e\0\0\0{"arrays": [["<f8", 1e30]]}    ',
        b'\x1e\0\0\0{"arrays": [["<f8", -4]]}      ',
        b'\x1e\0\0\0{"arrays": [["<u8", 1073741825]]}',
        b'\x1e\0\0\0{"arrays": 7}               ',
    ],
)
def test_what_is_no_message_is_refused_before_anything_is_allocated(data: bytes) -> None:
    one, other = os.pipe(), os.pipe()
    channel = Channel(one[0], other[1], 5.0)
    os.write(one[1], data)
    os.close(one[1])
    with pytest.raises(ChannelClosedError):
        channel.receive()
    channel.close()
    os.close(other[0])


def test_a_reader_that_waits_in_vain_gives_up() -> None:
    one, other = os.pipe(), os.pipe()
    with pytest.raises(TimeoutError, match="nothing moved for 0 s"):
        Channel(one[0], other[1], 0.1).receive()
