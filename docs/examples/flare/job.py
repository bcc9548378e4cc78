"""A plain FLARE job with encrypted averaging: `python job.py KEYS WORKSPACE` runs it in the simulator."""

import sys
from pathlib import Path

import numpy as np
from linear import LinearRegression
from nvflare.app_common.shareablegenerators.full_model_shareable_generator import FullModelShareableGenerator
from nvflare.app_common.workflows.scatter_and_gather import ScatterAndGather
from nvflare.job_config.api import FedJob, FilterType

from trainer.federation.flare_filters import DecryptModel, EncryptedAggregator, EncryptUpdate, SealedModelPersistor

TERMS = {"session": "example", "reach": 1.0, "most_examples": 100}


def encrypted_fedavg(keys: Path, workspace: Path) -> FedJob:
    """Two rounds for two clients; the initial weights go into a file in `workspace`."""
    workspace.mkdir(parents=True, exist_ok=True)
    np.savez(workspace / "initial.npz", slope=np.zeros(3, np.float32), offset=np.zeros(1, np.float32))
    job = FedJob("encrypted-fedavg", min_clients=2)
    job.to_server(SealedModelPersistor(str(workspace / "initial.npz")), id="persistor")
    job.to_server(FullModelShareableGenerator(), id="shareable_generator")
    job.to_server(EncryptedAggregator(str(keys / "server"), TERMS), id="aggregator")
    job.to_server(ScatterAndGather(min_clients=2, num_rounds=2, persistor_id="persistor"))
    job.to_clients(LinearRegression(), tasks=["train"])
    job.to_clients(DecryptModel(str(keys / "clients"), TERMS), tasks=["train"], filter_type=FilterType.TASK_DATA)
    job.to_clients(EncryptUpdate(), tasks=["train"], filter_type=FilterType.TASK_RESULT)
    return job


if __name__ == "__main__":
    keys, workspace = (Path(argument).resolve() for argument in sys.argv[1:])
    encrypted_fedavg(keys, workspace).simulator_run(str(workspace / "simulator"), n_clients=2, threads=2)
