"""The server: FedAvg over encrypted updates. It has a public key, and the initial weights."""

from pathlib import Path

import numpy as np
from agreed import TERMS
from flwr.app import Array, ArrayRecord, Context
from flwr.serverapp import Grid, ServerApp

from trainer.federation.flower import EncryptedFedAvg

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run the rounds and keep the sealed model."""
    config = context.run_config
    initial = ArrayRecord({"slope": Array(np.zeros(3, np.float32)), "offset": Array(np.zeros(1, np.float32))})
    strategy = EncryptedFedAvg(Path(config["key-folder"]), TERMS, fraction_evaluate=0.0)
    result = strategy.start(grid, initial, num_rounds=config["rounds"])
    np.savez(config["results"], **{name: array.numpy() for name, array in result.arrays.items()})
