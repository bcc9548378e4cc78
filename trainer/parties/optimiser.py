"""The optimiser every part has to itself."""

from __future__ import annotations

from torch import nn
from torch.optim import Adam

from trainer.config import TrainingConfig


def adam(part: nn.Module, training: TrainingConfig) -> Adam:
    """Adam as method.md sets it; its moments persist over rounds and are never averaged."""
    return Adam(part.parameters(), lr=training.learning_rate, weight_decay=training.weight_decay)


def start_round(optimiser: Adam, training: TrainingConfig, round: int) -> None:
    """Set the learning rate of 0-based `round`: a function of the round alone, so a resumed run has the same."""
    for group in optimiser.param_groups:
        group["lr"] = training.learning_rate * training.learning_rate_decay**round
