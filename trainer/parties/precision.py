"""Automatic mixed precision: convolutions in bfloat16, weights, optimisers, losses and what crosses a cut in float32.

bfloat16 has float32's range, so no loss is scaled; that works however the network is cut. It pays on accelerators
with matrix units for it; a processor without them is slower for it.
"""

from __future__ import annotations

import torch

from trainer.config import TrainingConfig


def autocast(training: TrainingConfig, device: torch.device) -> torch.autocast:
    """The context of a forward pass on `device`, as `training.precision` asks; of no effect for float32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=training.precision == "bfloat16")
