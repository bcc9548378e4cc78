"""Every attacker against every cut of a trained run, and what guessing without the activations would score."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from trainer.checkpoint import Snapshot
from trainer.data.federated import FederatedData, SampleSet
from trainer.data.remote_sites import RemoteSites
from trainer.errors import ConfigError, DataError
from trainer.experiment import Experiment
from trainer.leakage.attackers import (
    Attacker,
    Effort,
    FirstBatchDecoder,
    KnownHeadDecoder,
    KnownHeadSearch,
    SeededShadowDecoder,
    ShadowDecoder,
)
from trainer.leakage.curious_server import Seen, eavesdrop
from trainer.leakage.recut import Cut, cuts, with_seed
from trainer.leakage.scores import Scores, score
from trainer.networks.split import SplitNetwork
from trainer.parties.exchange import EXCHANGES, SERVER_END, CutExchange
from trainer.seeds import LEAKAGE

Progress = Callable[[str, float], None]
"""Told what was attacked last, and the share that is done."""


@dataclass(frozen=True, eq=False)
class Attack:
    """One attacker's reconstructions, float32 [n, 1, *size] in the images' units, from one cut.

    client_levels: None for a network with one cut only. exchange: what packed the activations; "" if none were used.
    """

    attacker: str
    knows: str
    client_levels: int | None
    exchange: str
    reconstructions: Tensor
    scores: Scores


@dataclass(frozen=True, eq=False)
class Leakage:
    """All attacks on `images`, the test images of the client `victim`, and the guesses without any activations.

    own_images: how many the attackers hold, the training images of `owners`. shapes: of an image's activations, by
    `client_levels`. chosen: the run's `client_levels`; None as in `Attack`. exchange: the run's.
    """

    victim: str
    owners: tuple[str, ...]
    own_images: int
    identifiers: tuple[str, ...]
    images: Tensor
    guesses: tuple[Attack, ...]
    attacks: tuple[Attack, ...]
    shapes: dict[int | None, tuple[int, ...]]
    chosen: int | None
    exchange: str


def measure(
    experiment: Experiment,
    snapshot: Snapshot,
    *,
    steps: int,
    largest: int,
    progress: Progress = lambda attacker, share: None,
) -> Leakage:
    """Attack up to `largest` test images of the first client, by attackers of `steps` optimisation steps each.

    The attackers' images are the other clients' training images. Raises ConfigError, DataError, CheckpointError.
    """
    data = _federated(experiment)
    victim, others = data.clients[0], data.clients[1:]
    if not others:
        raise ConfigError("one client: an attacker's own images are those of other clients, so there must be two")
    own = SampleSet.pooled(client.train for client in others)
    picks = np.unique(np.linspace(0, len(victim.test) - 1, min(largest, len(victim.test))).round().astype(int))
    images = victim.test.images[picks]
    places = cuts(experiment, snapshot)
    run = _Attacks(experiment, images, own, steps, progress, len(places))
    attacks = [attack for cut in places for attack in run.at(cut, victim.train)]
    chosen = experiment.config.network.client_levels if len(places) > 1 else None
    return Leakage(
        victim.name,
        tuple(client.name for client in others),
        len(own),
        tuple(victim.test.identifiers[pick] for pick in picks),
        images,
        _guesses(images, own.images),
        tuple(attacks),
        run.shapes,
        chosen,
        experiment.config.training.cut_exchange,
    )


class _Attacks:
    """The attacks on one set of images, the same for every cut."""

    def __init__(
        self, experiment: Experiment, images: Tensor, own: SampleSet, steps: int, progress: Progress, places: int
    ) -> None:
        self._experiment, self._images, self._own, self._steps = experiment, images, own, steps
        self._exchange = experiment.config.training.cut_exchange
        self._progress, self._done, self._total = progress, 0, places * 6
        self.shapes: dict[int | None, tuple[int, ...]] = {}

    def at(self, cut: Cut, train: SampleSet) -> list[Attack]:
        """All attackers on `cut`; train: what the client trains on while the server looks on."""
        task, own, head, usual = self._experiment.task, self._own, cut.trained.head, self._exchange
        other = "float32" if usual == "int8" else "int8"
        sent, sent_by_other = self._over(usual), self._over(other)
        seed = partial(_draws, self._experiment.config.run.seed, cut)

        def effort(attacker: int) -> Effort:
            return Effort(self._steps, seed(attacker))

        def shadow(kind: type[ShadowDecoder], start: int, attacker: int) -> ShadowDecoder:
            surrogate = with_seed(self._experiment, cut.network, start)
            return kind(surrogate, cut.trained.body, task, own, batches, sent, effort(attacker))

        seen = self._eavesdrop(cut, usual, cut.trained, train)
        batches, h = seen.of_training(self._end(usual)), seen.of_evaluated(self._end(usual))
        h_first = self._eavesdrop(cut, usual, cut.initial).of_evaluated(self._end(usual))
        h_other = self._eavesdrop(cut, other, cut.trained).of_evaluated(self._end(other))
        self.shapes[cut.client_levels] = tuple(h.shape[1:])
        attack = partial(self._attack, cut.client_levels)
        decoder = KnownHeadDecoder(head, own.images, sent, effort(0))
        return [
            attack(usual, h, lambda: decoder),
            attack(usual, h, lambda: KnownHeadSearch(head, decoder, effort(1))),
            attack(usual, h_first, lambda: FirstBatchDecoder(cut.initial.head, own.images, sent, effort(2))),
            attack(usual, h, lambda: shadow(SeededShadowDecoder, self._experiment.config.run.seed, 3)),
            attack(usual, h, lambda: shadow(ShadowDecoder, seed(4), 5)),
            attack(other, h_other, lambda: KnownHeadDecoder(head, own.images, sent_by_other, effort(0))),
        ]

    def _attack(self, levels: int | None, exchange: str, h: Tensor, make: Callable[[], Attacker]) -> Attack:
        attacker = make()
        guess = attacker.reconstruct(h)
        self._done += 1
        self._progress(attacker.name, self._done / self._total)
        return Attack(attacker.name, attacker.knows, levels, exchange, guess, score(guess, self._images))

    def _eavesdrop(self, cut: Cut, exchange: str, network: SplitNetwork, train: SampleSet | None = None) -> Seen:
        config = self._experiment.config
        training = config.training.model_copy(update={"cut_exchange": exchange})
        config = config.model_copy(update={"training": training, "network": cut.network})
        return eavesdrop(config, network, self._experiment.task, self._images, train)

    def _end(self, exchange: str) -> CutExchange:
        return EXCHANGES[exchange](self._experiment.config.run.seed, 0, SERVER_END)

    def _over(self, exchange: str) -> Callable[[Tensor], Tensor]:
        """What becomes of activations that cross the cut."""
        end = self._end(exchange)
        return lambda h: end.unpack(end.pack(h))


def _draws(run_seed: int, cut: Cut, attacker: int) -> int:
    """The seed of one attacker at one cut."""
    generator = np.random.default_rng([run_seed, LEAKAGE, cut.network.client_levels, attacker])
    return int(generator.integers(2**62))


def _guesses(images: Tensor, own: Tensor) -> tuple[Attack, ...]:
    """What scores without the activations: the mean of the attackers' images, and the nearest of them.

    The second is no attack: which one is nearest is found with the original. It bounds what memory alone could give.
    """
    mean = own.mean(0, keepdim=True).expand_as(images)
    mirrored = torch.cat([own.flip(axes) for axes in ([], [-1], [-2], [-1, -2])])
    nearest = []
    for image in images:
        ssim = score(mirrored, image.expand_as(mirrored)).ssim
        nearest.append(mirrored[int(np.argmax(ssim))])
    found = torch.stack(nearest)
    return (
        Attack("none, the mean image", "images like the client's", None, "", mean, score(mean, images)),
        Attack(
            "none, the nearest image",
            "the original, to choose one of its own by",
            None,
            "",
            found,
            score(found, images),
        ),
    )


def _federated(experiment: Experiment) -> FederatedData:
    if isinstance(experiment.data, RemoteSites):
        raise DataError("the images are at sites of their own: measure where they are")
    return experiment.data
