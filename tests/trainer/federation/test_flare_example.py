"""The FLARE example, run for real in FLARE's simulator: a process for the server, one for each client."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from key_witness import reports
from plain_fedavg import TOLERANCE, average, files_with

from he_core import keystore
from trainer.federation.encrypted_fedavg import Member, Terms

pytest.importorskip("nvflare", reason="FLARE is not installed: pip install 'dcsfl[flare]'")

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "docs" / "examples"
TERMS = Terms("example, FLARE job simulate_job", reach=1.0, most_examples=100)

# The example's job and one component more, at each party, that looks at the process it is in.
WITNESSED = """
import sys
from pathlib import Path
import witness_component
import job
keys, workspace, notes = (Path(argument) for argument in sys.argv[1:])
workspace.mkdir()
example = job.encrypted_fedavg(keys, workspace)
example.to_server(witness_component.Witness(str(notes), "server"), id="witness")
example.to_clients(witness_component.Witness(str(notes), "client"), id="witness")
example.simulator_run(str(workspace / "simulator"), n_clients=2, threads=2)
"""
COMPONENT = """
from pathlib import Path
import key_witness
from nvflare.apis.event_type import EventType
from nvflare.apis.fl_component import FLComponent

class Witness(FLComponent):
    def __init__(self, notes, role):
        super().__init__()
        self.notes, self.role = notes, role

    def handle_event(self, event_type, fl_ctx):
        if event_type == EventType.ABOUT_TO_END_RUN or event_type == EventType.END_RUN:
            key_witness.report(Path(self.notes), self.role)
"""


@pytest.mark.slow
def test_the_flare_example_averages_as_in_the_clear_and_its_server_holds_no_secret_key(tmp_path: Path) -> None:
    keys, workspace, notes = tmp_path / "keys", tmp_path / "workspace", tmp_path / "notes"
    notes.mkdir()
    (tmp_path / "witness_component.py").write_text(COMPONENT, encoding="utf-8")
    here = [EXAMPLES / "flare", tmp_path, Path(__file__).parent, ROOT]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, here))}
    run = [sys.executable, EXAMPLES / "make_keys.py", keys]
    subprocess.run(run, env=environment, check=True, timeout=60)
    command = [sys.executable, "-c", WITNESSED, keys, workspace, notes]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=180, check=False)

    results = list(workspace.rglob("sealed_model.npz"))
    assert len(results) == 1, done.stdout[-3000:] + done.stderr[-3000:]
    secret = keystore.load_secret(keys / "clients" / "secret.key")
    with np.load(results[0]) as sealed:
        model = Member(secret, TERMS).open(dict(sealed))
    for name, expected in average(rounds=2).items():
        np.testing.assert_allclose(model.weights[name], expected, atol=TOLERANCE)

    assert [note["held"] for note in reports(notes, "server")] == [[]]
    clients = reports(notes, "client")
    assert len(clients) == 2
    assert all(note["held"] for note in clients)
    assert [path.name for path in (keys / "server").iterdir()] == ["public.key"]
    assert files_with(workspace / "simulator" / "server", secret) == []
    assert files_with(keys, secret) == [keys / "clients" / "secret.key"]
