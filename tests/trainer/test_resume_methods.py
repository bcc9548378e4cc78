"""Every method, with every option, killed in any round and resumed, is the run that never stopped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from trainer.display import QuietDisplay
from trainer.participation import attendance

ROUNDS = 4
BRIEF = (
    f"training.rounds={ROUNDS}",
    "run.examples=0",
    "data.clients=3",
    "data.max_slices=2",
    "training.batch_size=1",
)
SOME = ("method.participation=0.67", "method.drop_out=0.3", "method.min_participants=1", "run.seed=11")
VARIANTS = {
    "splitfed-v2": ("method.name=splitfed-v2",),
    "splitnn": ("method.name=splitnn",),
    "fedavg": ("method.name=fedavg",),
    "fedprox": ("method.name=fedprox", "method.proximal_mu=0.1"),
    "dcsfl-some": SOME,
    "splitfed-v1-some": ("method.name=splitfed-v1", *SOME),
    "splitfed-v2-some": ("method.name=splitfed-v2", "method.weighting=samples", *SOME),
    "splitnn-some": ("method.name=splitnn", *SOME),
    "fedavg-some": ("method.name=fedavg", "encryption.rounding=stochastic", *SOME),
    "fedprox-some": ("method.name=fedprox", *SOME),
    "laplace": ("method.laplace_scale=0.01",),
    "fedavg-laplace": ("method.name=fedavg", "method.laplace_scale=0.01", *SOME),
    "skipping": ("method.drop_out=0.5", "method.min_participants=3", "run.seed=11"),
    "rlwe-some": ("encryption.scheme=rlwe", *SOME),
}
QUICK_VARIANTS = ("splitnn-some", "fedavg-some")


class Killed(BaseException):
    """Stands for kill -9: nothing catches it, so nothing is written afterwards."""


class KillIn(QuietDisplay):
    """Kills in 0-based round `number`: in its `batches`-th batch, or after its training if it has fewer."""

    def __init__(self, number: int, batches: int) -> None:
        self._number, self._batches = number, batches

    def begin(self, first_round: int, rounds: int, batches: int) -> None:
        self._round, self._seen = first_round, 0

    def batch(self, client: str, loss: float) -> None:
        self._seen += 1
        if self._round == self._number and self._seen == self._batches:
            raise Killed

    def phase(self, text: str) -> None:
        if self._round == self._number:
            raise Killed

    def round_done(self, row: dict[str, Any]) -> None:
        self._round, self._seen = self._round + 1, 0


@pytest.mark.parametrize(
    "variant", [name if name in QUICK_VARIANTS else pytest.param(name, marks=pytest.mark.slow) for name in VARIANTS]
)
def test_killed_in_every_round_in_turn_a_method_ends_as_if_it_had_not_been(
    variant: str, quick_config: Any, start: Any, go_on: Any, what_remains: Any, tmp_path: Path
) -> None:
    config = quick_config(*BRIEF, *VARIANTS[variant])
    start(config, tmp_path / "whole").run()
    with pytest.raises(Killed):
        start(config, tmp_path / "killed", KillIn(1, batches=2)).run()
    for number in range(2, ROUNDS):
        resumed = go_on(tmp_path / "killed", KillIn(number, batches=number))
        assert resumed.finished_rounds == number - 1
        with pytest.raises(Killed):
            resumed.run()
    go_on(tmp_path / "killed").run()
    assert what_remains(tmp_path / "killed") == what_remains(tmp_path / "whole")


@pytest.mark.parametrize("variant", ["dcsfl-some", "skipping"])
def test_the_options_used_here_give_every_kind_of_round(variant: str, quick_config: Any) -> None:
    config = quick_config(*BRIEF, *VARIANTS[variant])
    rounds = [attendance(config.method, 3, seed=config.run.seed, round=number) for number in range(ROUNDS)]
    assert any(found.dropped_out for found in rounds)
    assert any(found.enough for found in rounds)
    assert any(not found.enough for found in rounds) == (variant == "skipping")
