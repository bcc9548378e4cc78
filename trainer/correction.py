"""Dynamic weight correction (DWCS): the averaged weights are pulled a little towards the previous round's.

DC-SFL, IEEE JBHI 27(12), 2023, doi 10.1109/JBHI.2023.3317632. Once per round, after averaging, without data:

    V starts at W_t and takes `steps` optimiser steps on (mu/2) * ||V - W_prev||^2
    W_t <- (1 - alpha_t) * W_t + alpha_t * V,   alpha_t = min(1 - 1/t, alpha_max),   t the 0-based round
    W_prev <- W_t

Every operation is elementwise, so tensors may be corrected together or part by part with the same result,
and is done on the CPU in float32, so that clients with and without an accelerator agree bit for bit.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Literal

import torch
from torch import nn

from trainer.config import CorrectionConfig
from trainer.errors import CheckpointError, ProtocolError

Part = Literal["head", "body", "tail"]
Weights = dict[str, torch.Tensor]


def alpha(t: int, alpha_max: float) -> float:
    """Share of V at 0-based round `t` of at least 1: 0 at 1, 1/2 at 2, growing to `alpha_max`."""
    return min(1 - 1 / t, alpha_max)


class Correction:
    """The correction of one part at one party; holds the anchor `W_prev` and the optimiser's moments.

    A client averages head and tail together and may correct them together: every mode treats the two alike.
    """

    def __init__(self, config: CorrectionConfig, part: Part) -> None:
        self._mode = config.mode
        self._part = part
        self._rule = _MODES[config.mode](config, part)
        self._anchor: Weights = {}
        self._round = -1

    def correct(self, fresh: Mapping[str, torch.Tensor], round: int) -> Weights:
        """The corrected weights of 0-based `round`: new tensors, on the devices of `fresh`.

        `fresh` is the round's average, named float32 tensors, unchanged. The first call (round 0) has
        nothing to be anchored to and returns it as it is; the result of every call is the anchor of the next.
        Raises ProtocolError when rounds do not increase, or when names, shapes or dtypes are not the
        anchor's.
        """
        if round <= self._round:
            raise ProtocolError(f"round {round} comes after round {self._round}, which is already corrected")
        self._check(fresh)
        average = {name: weights.detach().cpu() for name, weights in fresh.items()}
        with torch.no_grad():
            corrected = self._rule.apply(average, self._anchor, round) if self._anchor else average
        self._anchor = {name: weights.clone() for name, weights in corrected.items()}
        self._round = round
        return {name: weights.to(fresh[name].device, copy=True) for name, weights in corrected.items()}

    def state_dict(self) -> tuple[Weights, dict[str, int | str]]:
        """Copies of the tensors, and what JSON can hold; from the two a run goes on bit for bit."""
        anchor = {f"anchor/{name}": weights for name, weights in self._anchor.items()}
        tensors = anchor | self._rule.tensors()
        numbers: dict[str, int | str] = {
            "mode": self._mode,
            "part": self._part,
            "round": self._round,
            "steps": self._rule.steps_taken(),
        }
        return {name: tensor.detach().clone() for name, tensor in tensors.items()}, numbers

    def load_state_dict(self, tensors: Mapping[str, torch.Tensor], numbers: Mapping[str, int | str]) -> None:
        """Take up the state another object of the same mode and part returned.

        Raises CheckpointError for another mode or part, or tensors that do not belong together.
        """
        for key, own in (("mode", self._mode), ("part", self._part)):
            if numbers.get(key) != own:
                raise CheckpointError(
                    f"the correction's state is of {key} {numbers.get(key)!r}, this run's is {own!r}: "
                    "resume with the configuration of the run that wrote it"
                )
        anchor = _without_prefix("anchor", tensors)
        try:
            last, steps = int(numbers["round"]), int(numbers["steps"])
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"the correction's state has no usable round or steps: {error}") from None
        if bool(anchor) != (last >= 0):
            raise CheckpointError(f"the correction's state is of round {last} but has {len(anchor)} anchor tensors")
        self._rule.load(tensors, anchor, steps)
        self._anchor, self._round = anchor, last

    def _check(self, fresh: Mapping[str, torch.Tensor]) -> None:
        for name, weights in fresh.items():
            if weights.dtype != torch.float32:
                raise ProtocolError(f"weights {name!r} to correct are {weights.dtype}; they must be float32")
        if not self._anchor:
            return
        odd = sorted(set(fresh) ^ set(self._anchor))
        odd += [name for name, anchor in self._anchor.items() if name in fresh and fresh[name].shape != anchor.shape]
        if odd:
            raise ProtocolError(f"weights {odd[0]!r} are missing, new or of another shape than in the round before")


class _Rule(ABC):
    """One mode: the corrected weights from the fresh ones and the anchor. Tensors are float32 on the CPU."""

    @abstractmethod
    def apply(self, fresh: Weights, anchor: Weights, round: int) -> Weights:
        """New corrected weights of a `round` of at least 1."""

    def steps_taken(self) -> int:
        """Optimiser steps so far."""
        return 0

    def tensors(self) -> Weights:
        """State beyond the anchor."""
        return {}

    def load(self, tensors: Mapping[str, torch.Tensor], anchor: Weights, steps: int) -> None:  # noqa: B027
        """Take up `tensors()` and `steps_taken()` of a run whose anchor was `anchor`."""


class _Off(_Rule):
    """The plain average."""

    def apply(self, fresh: Weights, anchor: Weights, round: int) -> Weights:
        return fresh


class _Ema(_Rule):
    """W <- a * W_prev + (1 - a) * W, the obvious thing to compare with; alpha_t plays no part."""

    def __init__(self, config: CorrectionConfig) -> None:
        self._a = config.ema

    def apply(self, fresh: Weights, anchor: Weights, round: int) -> Weights:
        return {name: self._a * anchor[name] + (1 - self._a) * weights for name, weights in fresh.items()}


class _ClosedForm(_Rule):
    """`steps` plain gradient steps at once: V = W_prev + (1 - eta*mu)^steps * (W - W_prev).

    At the default eta = mu = 1e-4 one step moves a weight by 1e-8 of its drift, which float32 rounds away:
    choose them larger to see an effect.
    """

    def __init__(self, config: CorrectionConfig) -> None:
        self._alpha_max = config.alpha_max
        self._pull = 1 - (1 - config.learning_rate * config.mu) ** config.steps

    def apply(self, fresh: Weights, anchor: Weights, round: int) -> Weights:
        # (1 - alpha) * W + alpha * V, solved for the change, which rounding in V would drown.
        share = alpha(round, self._alpha_max) * self._pull
        return {name: weights - share * (weights - anchor[name]) for name, weights in fresh.items()}


class _AdamSteps(_Rule):
    """`steps` Adam steps on V; one optimiser for all rounds: V is overwritten, the moments stay."""

    def __init__(self, config: CorrectionConfig, *, against_itself: bool) -> None:
        self._config = config
        self._against_itself = against_itself
        self._values: dict[str, nn.Parameter] = {}
        self._optimiser: torch.optim.Adam | None = None
        self._steps = 0

    def apply(self, fresh: Weights, anchor: Weights, round: int) -> Weights:
        optimiser = self._optimiser or self._begin(fresh)
        reference = fresh if self._against_itself else anchor
        for name, value in self._values.items():
            value.copy_(fresh[name])
        for _ in range(self._config.steps):
            for name, value in self._values.items():
                value.grad = self._config.mu * (value - reference[name])
            optimiser.step()
        self._steps += self._config.steps
        share = alpha(round, self._config.alpha_max)
        # (1 - alpha) * W + alpha * V, written so that V = W gives W exactly.
        return {name: w + share * (self._values[name].detach() - w) for name, w in fresh.items()}

    def steps_taken(self) -> int:
        return self._steps

    def tensors(self) -> Weights:
        if self._optimiser is None:
            return {}
        moments = {name: self._optimiser.state[value] for name, value in self._values.items()}
        return {f"{key}/{name}": of[key] for key in ("exp_avg", "exp_avg_sq") for name, of in moments.items()}

    def load(self, tensors: Mapping[str, torch.Tensor], anchor: Weights, steps: int) -> None:
        first, second = _without_prefix("exp_avg", tensors), _without_prefix("exp_avg_sq", tensors)
        expected = {name: weights.shape for name, weights in anchor.items()} if steps else {}
        for moments in (first, second):
            if {name: moment.shape for name, moment in moments.items()} != expected:
                raise CheckpointError(f"the correction's moments after {steps} steps do not fit its anchor")
        self._values, self._optimiser, self._steps = {}, None, steps
        if not steps:
            return
        optimiser = self._begin(anchor)
        for name, value in self._values.items():
            step = torch.tensor(float(steps))
            optimiser.state[value] = {"step": step, "exp_avg": first[name], "exp_avg_sq": second[name]}

    def _begin(self, like: Weights) -> torch.optim.Adam:
        self._values = {name: nn.Parameter(weights.clone()) for name, weights in like.items()}
        self._optimiser = torch.optim.Adam(
            self._values.values(),
            lr=self._config.learning_rate,
            weight_decay=self._config.weight_decay,
            foreach=False,
        )
        return self._optimiser


def _released(config: CorrectionConfig, part: Part) -> _Rule:
    # The authors' public code anchors head and tail to copies of themselves: only weight decay moves them.
    return _AdamSteps(config, against_itself=part != "body")


_MODES: dict[str, Callable[[CorrectionConfig, Part], _Rule]] = {
    "paper": lambda config, _: _AdamSteps(config, against_itself=False),
    "released": _released,
    "closed-form": lambda config, _: _ClosedForm(config),
    "ema": lambda config, _: _Ema(config),
    "off": lambda config, _: _Off(),
}


def _without_prefix(prefix: str, tensors: Mapping[str, torch.Tensor]) -> Weights:
    start = f"{prefix}/"
    return {
        name.removeprefix(start): t.detach().cpu().clone() for name, t in tensors.items() if name.startswith(start)
    }
