"""The loop: train, encrypt, sum, decrypt, correct, evaluate, record, checkpoint; round after round."""

from __future__ import annotations

import io
import math
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from he_core import CostLedger
from trainer import checkpoint, participation
from trainer.checkpoint import Snapshot
from trainer.data.remote_sites import RemoteSites
from trainer.data.splitting import evenly
from trainer.display import Display
from trainer.errors import CheckpointError, TrainerError
from trainer.events import EventWriter
from trainer.experiment import Experiment
from trainer.interruption import held_back
from trainer.methods.base import RoundOutcome
from trainer.participation import Attendance
from trainer.parties.federation import Parties
from trainer.parties.keys import SET_UP_ROUND
from trainer.parties.messages import RoundPlan
from trainer.report import write_report
from trainer.report.planes import pixel_aspect, plane, plane_name
from trainer.run_folder import LEDGER, METRICS, REPORT, SUMMARY, TRANSCRIPTS, RunFolder, flatten
from trainer.transport.in_process import AGGREGATION, COMPUTE

CLIENTS = "clients"


class DivergedError(TrainerError):
    """A round whose figures are no longer finite; nothing of it is recorded."""


@dataclass
class Progress:
    """What the loop remembers between rounds, JSON-able as `vars()`."""

    best_score: float | None = None
    best_round: int | None = None
    wall_seconds: float = 0.0
    encryption_seconds: float = 0.0


class Run:
    """One experiment in one run folder, from round 0 or from a checkpoint.

    The folder need not exist before `run` or `restore`.

    parties: where they are not all in this process; assembled here if None.
    """

    def __init__(
        self,
        experiment: Experiment,
        folder: RunFolder,
        display: Display,
        events: EventWriter,
        parties: Parties | None = None,
    ) -> None:
        self._experiment = experiment
        self._folder = folder
        self._display = display
        self._events = events
        self._ledger = CostLedger()
        self._parties = experiment.assemble(self._ledger) if parties is None else parties
        self._progress = Progress()
        self._next_round = 0
        self._saved_rounds = 0
        self._remembered = False
        self._unsaved: Snapshot | None = None

    def restore(self, snapshot: Snapshot) -> None:
        """Go on after `snapshot`; what the folder says of later rounds is dropped.

        Raises CheckpointError where the snapshot does not fit, before anything in the folder is changed, and
        RunFolderError.
        """
        self._parties.load_states(snapshot.parties)
        self._parties.restore(snapshot.round)
        try:
            self._progress = Progress(**snapshot.progress)
        except TypeError as error:
            raise CheckpointError(f"the checkpoint's progress is not of this version: {error}") from None
        self._next_round = self._saved_rounds = snapshot.round + 1
        self._folder.keep_rounds(snapshot.round)
        # A run that grows is not finished any more.
        self._folder.remove(SUMMARY)
        if self._next_round < self._experiment.config.training.rounds:
            checkpoint.unlink(self._folder.checkpoints, "final")

    def run(self) -> dict[str, Any]:
        """Train to the last round; returns the summary that is also in summary.json.

        On KeyboardInterrupt the rounds finished so far are saved, then it is raised again.
        """
        rounds = self._experiment.config.training.rounds
        self._display.begin(self._next_round, rounds, self._batches_per_round())
        self._events.begin(self._folder.path / "events", self._next_round)
        self._parties.open_transcripts(self._folder.path / TRANSCRIPTS, self._next_round)
        if self._next_round == 0:
            self._folder.append(LEDGER, [cost.as_row() for cost in self._ledger.rows(SET_UP_ROUND)])
        try:
            for round_index in range(self._next_round, rounds):
                self._round(round_index, last=round_index == rounds - 1)
        except KeyboardInterrupt:
            with held_back():
                self._save(("latest",))
            self._finish(finished=False)
            raise
        return self._finish(finished=True)

    @property
    def finished_rounds(self) -> int:
        """Rounds finished so far."""
        return self._next_round

    @property
    def saved_rounds(self) -> int:
        """Rounds that the newest checkpoint holds."""
        return self._saved_rounds

    @property
    def parties(self) -> Parties:
        """The parties as they stand."""
        return self._parties

    def _round(self, round_index: int, *, last: bool) -> None:
        experiment, parties = self._experiment, self._parties
        start = time.perf_counter()
        sent_before = _traffic(parties)
        present = self._attendance(round_index)
        if not self._remembered:
            parties.remember(round_index - 1)
            self._remembered = True
        if present.enough:
            outcome = experiment.method.run_round(parties, self._plan(present, round_index), self._display.batch)
        else:
            self._display.say(_skipped(present, round_index))
            outcome = RoundOutcome({}, 0.0)
        sent = _traffic(parties)
        if outcome.refusal is not None:
            parties.go_back()
            self._display.say(f"{outcome.refusal}; every party goes back to the model of the last good round")
        self._display.phase("evaluating")
        evaluation_start = time.perf_counter()
        evaluation = experiment.method.evaluate(parties, experiment.data)
        end = time.perf_counter()
        parties.collect_costs(round_index, self._ledger)

        encryption_seconds = self._ledger.elapsed_ns(round_index) / 1e9
        losses = outcome.train_loss
        row = {
            "round": round_index,
            "train_loss": losses,
            "train_loss_mean": sum(losses.values()) / len(losses) if losses else None,
            "evaluation": evaluation,
            "wall_seconds": end - start,
            "train_seconds": outcome.train_seconds,
            "evaluate_seconds": end - evaluation_start,
            "encryption_seconds": encryption_seconds,
            "encryption_share": encryption_seconds / (end - start),
            "cut_bytes": sent[COMPUTE] - sent_before[COMPUTE],
            "aggregation_bytes": sent[AGGREGATION] - sent_before[AGGREGATION],
            "handover_bytes": sent[CLIENTS] - sent_before[CLIENTS],
            "saturated_values": outcome.saturated_values,
            "step": outcome.step,
            "took_part": {name: int(name in losses) for name in parties.site_names},
            "dropped_out": {name: int(i in present.dropped_out) for i, name in enumerate(parties.site_names)},
            "refused": {
                name: int(outcome.refusal is not None and name in outcome.refusal.reasons)
                for name in parties.site_names
            },
        }
        _refuse_non_finite(row)
        if outcome.refusal is not None and experiment.config.encryption.on_refused == "stop":
            with held_back():
                self._stop(row)
            raise outcome.refusal
        with held_back():
            self._record(row, last=last)

    def _stop(self, row: dict[str, Any]) -> None:
        """Write a refused round down, and save those before: a resumed run tries it again."""
        self._append(row)
        self._save(("latest",))
        self._finish(finished=False)

    def _append(self, row: dict[str, Any]) -> None:
        self._parties.sync_transcripts()
        self._folder.append(METRICS, [row])
        self._folder.append(LEDGER, [cost.as_row() for cost in self._ledger.rows(row["round"])])

    def _record(self, row: dict[str, Any], *, last: bool) -> None:
        """Write a finished round down, and save it where it is due."""
        experiment, round_index = self._experiment, row["round"]
        score = row["evaluation"]["mean"][experiment.task.primary]
        improved = self._progress.best_score is None or score > self._progress.best_score
        if improved:
            self._progress.best_score, self._progress.best_round = score, round_index
        self._progress.wall_seconds += row["wall_seconds"]
        self._progress.encryption_seconds += row["encryption_seconds"]
        # Rows before the checkpoint: a run killed between the two repeats the round and writes its row anew.
        self._append(row)
        self._unsaved = Snapshot(round_index, self._parties.remember(round_index), dict(vars(self._progress)))
        self._next_round = round_index + 1
        if last or improved or (round_index + 1) % experiment.config.checkpoint.every == 0:
            self._save(("latest", *(("best",) if improved else ()), *(("final",) if last else ())))
        self._events.write(row)
        self._display.round_done(row)

    def _attendance(self, round_index: int) -> Attendance:
        config, clients = self._experiment.config, len(self._parties.training_images)
        return participation.attendance(config.method, clients, seed=config.run.seed, round=round_index)

    def _plan(self, present: Attendance, round_index: int) -> RoundPlan:
        by_samples = self._experiment.config.method.weighting == "samples"
        weights = [images if by_samples else 1 for images in self._parties.training_images]
        return participation.plan(present.present, weights, round_index, present.needed)

    def _batches_per_round(self) -> int:
        training = self._experiment.config.training
        return (
            sum(-(-images // training.batch_size) for images in self._parties.training_images) * training.local_epochs
        )

    def _save(self, links: tuple[str, ...]) -> None:
        if self._unsaved is not None:
            self._parties.save(self._unsaved.round, links)
            checkpoint.write(self._folder.checkpoints, self._unsaved, links)
            self._saved_rounds = self._unsaved.round + 1
            self._unsaved = None

    def _finish(self, *, finished: bool) -> dict[str, Any]:
        rows = self._folder.rows(METRICS)
        progress = self._progress
        summary = {
            "method": self._experiment.method.name,
            "rounds": self._next_round,
            "final": rows[-1]["evaluation"]["mean"] if rows else {},
            "best_round": progress.best_round,
            "wall_seconds": progress.wall_seconds,
            "encryption_seconds": progress.encryption_seconds,
            "encryption_share": progress.encryption_seconds / progress.wall_seconds if progress.wall_seconds else 0.0,
            "finished": finished,
        }
        if finished:
            self._save_examples()
        self._folder.remove(REPORT)  # a summary beside it says that both are of the same rounds
        self._folder.write_json(SUMMARY, summary)
        if rows:
            write_report(self._folder.path)
        return summary

    def _save_examples(self) -> None:
        """Test images spread over each site, with truth and prediction, for the report."""
        count = self._experiment.config.run.examples
        images, targets, predictions, labels = [], [], [], []
        data = self._experiment.data
        if isinstance(data, RemoteSites):
            return  # the images are not here, and are not asked for
        for index, site in enumerate(data.clients if count else ()):
            judge = self._experiment.method.judges(self._parties, index)[0]
            picks = list(evenly(range(len(site.test)), count))
            predicted = self._parties.predict(judge, site.test.images[picks])
            for pick, prediction in zip(picks, predicted, strict=True):
                target = site.test.targets[pick].squeeze(0).numpy()
                images.append(plane(site.test.images[pick, 0].numpy(), target))
                targets.append(plane(target, target))
                predictions.append(plane(prediction.squeeze(0).numpy(), target))
                labels.append(f"{site.name} {site.test.identifiers[pick]}{plane_name(target)}")
        if images:
            archive = io.BytesIO()
            np.savez_compressed(
                archive,
                images=np.stack(images),
                targets=np.stack(targets),
                predictions=np.stack(predictions),
                labels=np.array(labels),
                pixel_aspect=pixel_aspect(self._experiment.config.data.voxel_mm),
            )
            self._folder.write_bytes("examples.npz", archive.getvalue())


def _refuse_non_finite(row: dict[str, Any]) -> None:
    """Raise DivergedError naming the figures of a row of metrics.jsonl that are NaN or infinite."""
    broken = [
        f"{name} is {value}" for name, value in flatten(row).items() if value is not None and not math.isfinite(value)
    ]
    if broken:
        raise DivergedError(
            f"training diverged in round {row['round']} (counted from 0): {', '.join(broken)}. "
            "Lower training.learning_rate, or inspect that client's data"
        )


def _skipped(present: Attendance, round_index: int) -> str:
    """A skipped round in a line; rounds count from 1 for people."""
    there, gone = len(present.present), len(present.dropped_out)
    return (
        f"round {round_index + 1} is skipped: {gone} of {there + gone} clients dropped out, and {there} left are "
        f"fewer than method.min_participants={present.needed}; the model stays as it was"
    )


def _traffic(parties: Parties) -> dict[str, int]:
    servers = {server: parties.traffic.bytes_with(server) for server in (COMPUTE, AGGREGATION)}
    return servers | {CLIENTS: parties.traffic.bytes_between_clients()}
