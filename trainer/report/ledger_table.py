"""The cost ledger summed up: by stage, by party, by round. Nanoseconds are summed as integers, then divided once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from he_core.cost import STAGES
from trainer.report.run_folder import LedgerRow

NS_PER_SECOND = 1_000_000_000


@dataclass(frozen=True)
class StageTotal:
    """One stage over the whole run and all parties.

    `seconds_per_round` and `bytes_per_round` are means over finished rounds; they and `share` (of the wall time
    of those rounds) are None for a stage that ran before the first round only, such as making keys.
    """

    stage: str
    seconds: float
    seconds_per_round: float | None
    share: float | None
    bytes: int
    bytes_per_round: float | None
    values: int
    calls: int


@dataclass(frozen=True)
class PartyTotal:
    """One party over the whole run: seconds in each stage it ran, and the bytes of the frames it wrote."""

    party: str
    stage_seconds: dict[str, float]
    seconds: float
    frame_bytes: int


def stages_in_order(rows: Iterable[LedgerRow]) -> list[str]:
    """The stages present: the pipeline's own in its order, then others as first recorded."""
    present = dict.fromkeys(row.stage for row in rows)
    return [stage for stage in STAGES if stage in present] + [stage for stage in present if stage not in STAGES]


def by_stage(rows: Sequence[LedgerRow], rounds: int, wall_seconds: float) -> list[StageTotal]:
    """Totals per stage over `rounds` finished rounds that took `wall_seconds` together."""
    totals = []
    for stage in stages_in_order(rows):
        mine = [row for row in rows if row.stage == stage]
        in_rounds = [row for row in mine if row.round >= 0]
        totals.append(
            StageTotal(
                stage=stage,
                seconds=total_seconds(mine),
                seconds_per_round=total_seconds(in_rounds) / rounds if in_rounds else None,
                share=total_seconds(in_rounds) / wall_seconds if in_rounds and wall_seconds else None,
                bytes=sum(row.bytes for row in mine),
                bytes_per_round=sum(row.bytes for row in in_rounds) / rounds if in_rounds else None,
                values=sum(row.values for row in mine),
                calls=sum(row.calls for row in mine),
            )
        )
    return totals


def by_party(rows: Sequence[LedgerRow]) -> list[PartyTotal]:
    """Totals per party, in the order the parties first appear."""
    totals = []
    for party in dict.fromkeys(row.party for row in rows):
        mine = [row for row in rows if row.party == party]
        stage_seconds = {
            stage: total_seconds([row for row in mine if row.stage == stage]) for stage in stages_in_order(mine)
        }
        frame_bytes = sum(row.bytes for row in mine if row.stage == "frame")
        totals.append(PartyTotal(party, stage_seconds, total_seconds(mine), frame_bytes))
    return totals


def by_round(rows: Iterable[LedgerRow], rounds: Sequence[int]) -> dict[str, list[float]]:
    """Seconds over all parties for each stage (in order) and each of `rounds`; stages of setup alone are absent."""
    position = {number: index for index, number in enumerate(rounds)}
    in_rounds = [row for row in rows if row.round in position]
    nanoseconds = {stage: [0] * len(rounds) for stage in stages_in_order(in_rounds)}
    for row in in_rounds:
        nanoseconds[row.stage][position[row.round]] += row.elapsed_ns
    return {stage: [value / NS_PER_SECOND for value in values] for stage, values in nanoseconds.items()}


def bytes_per_value(rows: Iterable[LedgerRow]) -> float | None:
    """Bytes of all frames over the values they carry; None where the ledger counts no framed value."""
    frames = [row for row in rows if row.stage == "frame" and row.values > 0]
    values = sum(row.values for row in frames)
    return sum(row.bytes for row in frames) / values if values else None


def total_seconds(rows: Iterable[LedgerRow]) -> float:
    """Elapsed time of `rows` together, in s."""
    return sum(row.elapsed_ns for row in rows) / NS_PER_SECOND
