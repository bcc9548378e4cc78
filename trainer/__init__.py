"""DC-SFL training: parties, the split loop, methods, data, reports and the `dcsfl-train` command."""

import importlib.util

if importlib.util.find_spec("torch") is None:
    raise ModuleNotFoundError("the trainer needs more than the engine: pip install 'dcsfl[train]'", name="torch")
