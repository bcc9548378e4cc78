"""The Flower example, run for real: a SuperLink with its server app, two SuperNodes with their client apps."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pytest
from key_witness import reports
from plain_fedavg import TOLERANCE, average, files_with

from he_core import keystore
from trainer.federation.encrypted_fedavg import Member, Terms

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "docs" / "examples"
FLOWER = Path(sys.prefix) / "flower" / "bin"
PATIENCE = 150


def _flower_runs() -> bool:
    python = FLOWER / "python"
    probe = [python, "-c", "import flwr, he_core"]
    return python.exists() and subprocess.run(probe, cwd=ROOT, capture_output=True, check=False).returncode == 0


@contextmanager
def _running(command: list, log: Path, environment: dict[str, str], folder: Path) -> Iterator[subprocess.Popen]:
    with log.open("w") as out:
        process = subprocess.Popen(
            command, stdout=out, stderr=out, env=environment, cwd=folder, start_new_session=True
        )
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


def _until(what: str, happened, logs: Path) -> None:
    end = time.monotonic() + PATIENCE
    while not happened():
        if time.monotonic() > end:
            told = "\n".join(f"== {log.name}\n{log.read_text()[-2000:]}" for log in sorted(logs.glob("*.log")))
            pytest.fail(f"{what} did not happen in {PATIENCE} s\n{told}")
        time.sleep(0.2)


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _witnessed_app(folder: Path, notes: Path) -> Path:
    """The example, with a look at the process it is in from the two apps' own code."""
    app = folder / "app"
    shutil.copytree(EXAMPLES / "flower", app)
    lines = f"import pathlib, key_witness; key_witness.report(pathlib.Path({str(notes)!r}), "
    server, client = app / "server_app.py", app / "client_app.py"
    text = server.read_text()
    assert text.count("    np.savez(") == 1
    server.write_text(text.replace("    np.savez(", f"    {lines}'server')\n    np.savez("))
    text = client.read_text()
    assert text.count("    arrays = ArrayRecord(") == 1
    client.write_text(text.replace("    arrays = ArrayRecord(", f"    {lines}'client')\n    arrays = ArrayRecord("))
    return app


@pytest.mark.slow
@pytest.mark.skipif(not _flower_runs(), reason="Flower could not be installed in .venv/flower: `make .venv/.flower`")
def test_the_flower_example_averages_as_in_the_clear_and_its_server_holds_no_secret_key(tmp_path: Path) -> None:
    keys, notes, home = tmp_path / "keys", tmp_path / "notes", tmp_path / "server"
    notes.mkdir()
    home.mkdir()
    app = _witnessed_app(tmp_path, notes)
    port, *node_ports = _free_ports(3)
    environment = {
        **os.environ,
        "PATH": f"{FLOWER}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": f"{ROOT}{os.pathsep}{Path(__file__).parent}",
        "FLWR_HOME": str(home),
        "FLWR_TELEMETRY_ENABLED": "0",
    }
    address = f"127.0.0.1:{port}"
    config = f'[superlink]\ndefault = "example"\n[superlink.example]\naddress = "{address}"\ninsecure = true\n'
    (home / "config.toml").write_text(config)
    subprocess.run([FLOWER / "python", EXAMPLES / "make_keys.py", keys], env=environment, check=True, timeout=120)
    result, link = home / "sealed_model.npz", tmp_path / "superlink.log"
    with ExitStack() as stack:

        def start(name: str, *command: object) -> None:
            words = [str(word) for word in command]
            stack.enter_context(_running(words, tmp_path / f"{name}.log", environment, tmp_path))

        insecure = ("--insecure", "--disable-runtime-dependency-installation", "--port", port)
        start("superlink", FLOWER / "flower-superlink", *insecure)
        for site, node_port in enumerate(node_ports):
            node = f'site={site} key-folder="{keys / "clients"}"'
            where = ("--insecure", "--superlink", address, "--port", node_port, "--node-config", node)
            start(f"node{site}", FLOWER / "flower-supernode", *where)
        _until("the nodes' registration", lambda: link.read_text().count("Activated node_id") == 2, tmp_path)
        settings = f'key-folder="{keys / "server"}" results="{result}"'
        start("run", FLOWER / "flwr", "run", app, "example", "--stream", "-c", settings)
        _until("the end of the run", lambda: "Finished task" in link.read_text(), tmp_path)

    assert result.exists(), (tmp_path / "run.log").read_text()
    run = (tmp_path / "run.log").read_text().partition("Successfully started run ")[2].split()[0]
    secret = keystore.load_secret(keys / "clients" / "secret.key")
    terms = Terms(f"example, Flower run {run}", reach=1.0, most_examples=100)
    with np.load(result) as sealed:
        model = Member(secret, terms).open(dict(sealed))
    for name, expected in average(rounds=2).items():
        np.testing.assert_allclose(model.weights[name], expected, atol=TOLERANCE)

    (server,) = reports(notes, "server")
    clients = reports(notes, "client")
    assert server["held"] == []
    assert len(clients) >= 2
    assert all(note["held"] for note in clients)
    assert not any(note["torch"] for note in [server, *clients])
    assert server["pid"] not in {note["pid"] for note in clients}
    assert [path.name for path in (keys / "server").iterdir()] == ["public.key"]
    assert files_with(home, secret) == []
