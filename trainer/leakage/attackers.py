"""Who attacks, and with what knowledge. All see the activations at the first cut; none sees the client's images.

An attacker is made from what it knows and is then given activations alone: what it returns depends on nothing else.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from trainer.data.federated import SampleSet
from trainer.leakage.decoder import drawn, train_decoder, varied
from trainer.networks.split import Body, Head, SplitNetwork
from trainer.tasks import Task

Sent = Callable[[Tensor], Tensor]
"""float32 [n, c, ...] as the head makes it -> as it reaches the server."""


class Attacker(ABC):
    """`name`: in tables. `knows`: what it has besides the activations, in words."""

    name: ClassVar[str]
    knows: ClassVar[str]

    @abstractmethod
    def reconstruct(self, h: Tensor) -> Tensor:
        """Images, float32 [n, 1, *size], from activations [n, c, ...]."""


@dataclass(frozen=True)
class Effort:
    """steps: of every optimisation. seed: of all that is drawn."""

    steps: int
    seed: int

    def generator(self) -> torch.Generator:
        """A new one, at its start."""
        return torch.Generator().manual_seed(self.seed)


class KnownHeadDecoder(Attacker):
    """Trains a decoder on what the known head makes of its own images."""

    name = "head known, decoder"
    knows = "the head's weights, images like the client's"

    def __init__(self, head: Head, images: Tensor, sent: Sent, effort: Effort) -> None:
        self._decoder = train_decoder(head, images, sent, steps=effort.steps, generator=effort.generator())

    @torch.no_grad()
    def reconstruct(self, h: Tensor) -> Tensor:
        return self._decoder(h)


class FirstBatchDecoder(KnownHeadDecoder):
    """The same before the first step, when the head's weights are a function of `run.seed`."""

    name = "first batch, decoder"
    knows = "run.seed, and so the head before its first step; images like the client's"


class KnownHeadSearch(Attacker):
    """Searches the image whose activations are those seen, as the white-box attack of He, Zhang and Lee, ACSAC 2019.

    The loss is the mean squared error of activations, in units of their variance, plus the image's total variation.
    It starts at what `first` makes of the activations. A step costs a fraction of a decoder's: it takes more of them.
    """

    name = "head known, decoder, then search"
    knows = KnownHeadDecoder.knows

    LEARNING_RATE = 0.05
    TOTAL_VARIATION = 0.05
    STEPS = 4  # for one of a decoder

    def __init__(self, head: Head, first: Attacker, effort: Effort) -> None:
        self._head = copy.deepcopy(head).eval().requires_grad_(False)
        self._first, self._steps = first, self.STEPS * effort.steps

    def reconstruct(self, h: Tensor) -> Tensor:
        found = self._first.reconstruct(h).requires_grad_()
        optimiser = torch.optim.Adam([found], lr=self.LEARNING_RATE)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, self._steps)
        scale = h.var().clamp(min=1e-12)
        for _ in range(self._steps):
            loss = mse_loss(self._head(found)[0], h) / scale + self.TOTAL_VARIATION * _total_variation(found)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
        return found.detach()


class ShadowDecoder(Attacker):
    """Trains a head of its own to stand before the client's body, and a decoder for that head.

    A pseudo-client, as in Gao and Zhang, "PCAT", USENIX Security 2023, after the shadow models of He, Zhang and Lee:
    own head and tail learn the task through the body, which the server has and keeps as it is. Besides, the channels'
    means and covariances are drawn to those of the activations seen (Sun and Saenko, "Deep CORAL", ECCV 2016
    workshops): the feature-space alignment of Pasquini et al., "Unleashing the tiger", CCS 2021, turned round, so
    that the client is sent nothing but what the protocol asks for.
    """

    name = "server alone, shadow"
    knows = "the body, activations of a round, labelled images like the client's"

    LEARNING_RATE = 2e-3

    def __init__(
        self,
        surrogate: SplitNetwork,
        body: Body,
        task: Task,
        own: SampleSet,
        seen: Tensor,
        sent: Sent,
        effort: Effort,
    ) -> None:
        """surrogate: whose head and tail it starts from. seen: activations [n, c, ...] of training batches."""
        head = _trained_before(body, surrogate, task, own, seen, effort)
        self._decoder = train_decoder(head, own.images, sent, steps=effort.steps, generator=effort.generator())
        self._images = own.images

    @torch.no_grad()
    def reconstruct(self, h: Tensor) -> Tensor:
        """As the decoder says, but not as negatives: on average images look like the attacker's own."""
        guess = _scaled_as(self._images, self._decoder(h))
        usual = self._images.mean(0) - self._images.mean()
        against = (guess.mean(0) * usual).sum() < 0
        return 2 * self._images.mean() - guess if bool(against) else guess


class SeededShadowDecoder(ShadowDecoder):
    """The same, from the head and tail that the run itself started from."""

    name = "server alone, shadow from run.seed"
    knows = "run.seed, the body, activations of a round, labelled images like the client's"


def _trained_before(
    body: Body, surrogate: SplitNetwork, task: Task, own: SampleSet, seen: Tensor, effort: Effort
) -> Head:
    """The surrogate's head after learning the task, and the looks of `seen`, before the unchanged `body`."""
    head, tail = copy.deepcopy(surrogate.head).train(), copy.deepcopy(surrogate.tail).train()
    frozen = copy.deepcopy(body).requires_grad_(False)
    mean, covariance = _moments(seen)
    scale = covariance.diagonal().mean().clamp(min=1e-12)
    generator = effort.generator()
    optimiser = torch.optim.Adam([*head.parameters(), *tail.parameters()], lr=ShadowDecoder.LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, ShadowDecoder.LEARNING_RATE, total_steps=effort.steps + 1
    )
    for _ in range(effort.steps):
        batch = drawn(len(own), generator)
        images, targets = varied(generator, own.images[batch], own.targets[batch])
        h, kept = head(images)
        mine, mine_covariance = _moments(h)
        looks = ((mine - mean) ** 2).mean() / scale + ((mine_covariance - covariance) ** 2).mean() / scale**2
        loss = task.loss(tail(frozen(h), kept), targets) + looks
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return head


def _moments(h: Tensor) -> tuple[Tensor, Tensor]:
    """Mean [c] and covariance [c, c] of the channels, over images and places."""
    values = h.transpose(0, 1).flatten(1)  # [c, n * ...]
    return values.mean(1), torch.cov(values).reshape(len(values), -1)


def _scaled_as(own: Tensor, images: Tensor) -> Tensor:
    """Each of `images` with the mean and the standard deviation of `own`."""
    axes = tuple(range(1, images.ndim))
    deviation, mean = torch.std_mean(images, axes, keepdim=True)
    return (images - mean) / deviation.clamp(min=1e-12) * own.std() + own.mean()


def _total_variation(images: Tensor) -> Tensor:
    """Mean absolute difference of neighbours, over all spatial axes."""
    return torch.stack([images.diff(dim=axis).abs().mean() for axis in range(2, images.ndim)]).sum()
