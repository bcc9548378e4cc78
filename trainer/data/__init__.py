"""Where images come from: the demo set and users' own folders, laid out over the clients of a federation.

`load` is the one entry; `FederatedData`, `ClientData` and `SampleSet` are what the rest of the trainer sees.
"""

from trainer.data.federated import ClientData, FederatedData, SampleSet, Task
from trainer.data.sources import load

__all__ = ["ClientData", "FederatedData", "SampleSet", "Task", "load"]
