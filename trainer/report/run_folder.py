"""Reading a run folder: every file checked on the way in, so that nothing downstream checks again.

A killed run leaves a torn last line in `metrics.jsonl` or `ledger.jsonl`, no `summary.json`, and perhaps the
ledger rows of a round that never finished. Such a run is still worth a report: what is incomplete is left out
and named in `RunRecord.notes`. Everything else that is wrong raises ReportError.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from trainer.report.errors import ReportError

PRIMARY_METRIC = {"segmentation": "dice", "restoration": "psnr"}
"""The one number a task is judged by, as named in `metrics.jsonl`."""

_Checked = TypeVar("_Checked")


class _Record(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class _RunSection(_Record):
    name: str
    seed: int


class _DataSection(_Record):
    source: str


class _TrainingSection(_Record):
    rounds: int = Field(ge=1)


class _MethodSection(_Record):
    name: str
    laplace_scale: float = 0.0


class _EncryptionSection(_Record):
    scheme: str
    parameters: dict[str, Any] = {}
    bits: int


class Settings(_Record):
    """The keys of `config.yaml` that the page words itself by; the whole file is shown as text."""

    run: _RunSection
    data: _DataSection
    training: _TrainingSection
    method: _MethodSection
    encryption: _EncryptionSection


class Part(_Record):
    """One part of the network, and the party that holds it. Runs of earlier versions have no FLOPs, per image."""

    part: str
    party: str
    parameters: int = Field(ge=0)
    blocks: list[str] = []
    flops: int | None = Field(None, ge=0)
    training_flops: int | None = Field(None, ge=0)


class Cut(_Record):
    """One boundary between two parts: the shape and size of what crosses it for one image."""

    cut: str
    shape: tuple[int, ...]
    bytes_per_image: int = Field(ge=0)


class Kept(_Record):
    """A tensor that stays at the client, from head to tail, for one image."""

    shape: tuple[int, ...]
    bytes_per_image: int = Field(ge=0)


class Choice(_Record):
    """What another cut would cost the client, and the bytes of one image over both cuts in one direction."""

    client_levels: int
    chosen: bool
    parameters: int = Field(ge=0)
    parameters_share: float
    training_flops: int = Field(ge=0)
    training_flops_share: float
    cut_bytes_per_image: int = Field(ge=0)


class Parts(_Record):
    """`parts.json`: how the network is split, and what is encrypted of it."""

    network: str
    parts: list[Part]
    cuts: list[Cut]
    kept: list[Kept] = []
    choices: list[Choice] = []
    encrypted_values: int = Field(ge=0)
    ciphertext_bytes: int = Field(ge=0)


class ClientData(_Record):
    """One client's share of the data: numbers of training and test images."""

    name: str
    description: str
    train: int = Field(ge=0)
    test: int = Field(ge=0)


class Data(_Record):
    """`data.json`: what was trained on, and whose it is. A mask's label i is `class_names[i]`."""

    task: str
    class_names: list[str]
    provenance: str
    notes: list[str]
    sha256: str | None = None
    clients: list[ClientData]


class Evaluation(_Record):
    """Test metrics after a round: the mean over clients, and each client's."""

    mean: dict[str, float | None]
    clients: dict[str, dict[str, float | None]]


class Round(_Record):
    """One finished round, a line of `metrics.jsonl`. Bytes are summed over all clients, both directions."""

    round: int = Field(ge=0)
    train_loss: dict[str, float | None]
    train_loss_mean: float | None
    evaluation: Evaluation | None = None
    wall_seconds: float = Field(ge=0)
    train_seconds: float = Field(ge=0)
    evaluate_seconds: float = Field(ge=0)
    encryption_seconds: float = Field(ge=0)
    cut_bytes: int = Field(ge=0)
    aggregation_bytes: int = Field(ge=0)
    saturated_values: int = Field(ge=0)
    step: float | None = None
    handover_bytes: int = Field(default=0, ge=0)
    took_part: dict[str, int] = {}
    dropped_out: dict[str, int] = {}
    refused: dict[str, int] = {}

    @property
    def skipped(self) -> bool:
        """Whether too few clients were left."""
        return bool(self.took_part) and not any(self.took_part.values())


class LedgerRow(_Record):
    """The cost of one stage at one party in one round, a line of `ledger.jsonl`; round -1 is before the first."""

    round: int = Field(ge=-1)
    party: str
    stage: str
    elapsed_ns: int = Field(ge=0)
    bytes: int = Field(ge=0)
    values: int = Field(ge=0)
    calls: int = Field(ge=0)


class Summary(_Record):
    """`summary.json`, written when a run ends."""

    final: dict[str, float | None]
    best_round: int | None = None
    finished: bool


@dataclass(frozen=True)
class RunRecord:
    """A run folder as read. `rounds` is never empty and ascends; `ledger` holds rows of those rounds and of setup."""

    config_text: str
    settings: Settings
    environment: dict[str, Any]
    parts: Parts
    data: Data
    rounds: list[Round]
    ledger: list[LedgerRow]
    summary: Summary | None
    notes: list[str]

    @property
    def primary(self) -> str:
        """Name of the task's primary metric."""
        return PRIMARY_METRIC[self.data.task]

    @property
    def evaluated(self) -> list[tuple[int, Evaluation]]:
        """(round, evaluation) of the rounds that have one, in order."""
        return [(entry.round, entry.evaluation) for entry in self.rounds if entry.evaluation is not None]

    def rounds_of(self, client: str) -> tuple[int, int] | None:
        """In how many rounds `client` took part, and from how many it dropped out; None where nothing tells."""
        told = [entry for entry in self.rounds if client in entry.took_part]
        if not told:
            return None
        return sum(entry.took_part[client] for entry in told), sum(entry.dropped_out.get(client, 0) for entry in told)

    @property
    def last_losses(self) -> dict[str, float | None]:
        """Each client's training loss in the last round that it took part in."""
        return {name: loss for entry in self.rounds for name, loss in entry.train_loss.items()}

    @property
    def client_names(self) -> list[str]:
        """Names of the clients, in the order of `data.json`."""
        return [client.name for client in self.data.clients]


def read_run(run_folder: Path) -> RunRecord:
    """Read and check the files of `run_folder` (formats: the classes of this module).

    Raises ReportError naming the file and the fault: missing, not JSON or YAML, a key missing or of the wrong
    type, no finished round, rounds out of order, a task without a primary metric.
    """
    if not run_folder.is_dir():
        raise ReportError(f"run folder {run_folder} does not exist or is not a folder")
    notes: list[str] = []
    config_file = run_folder / "config.yaml"
    config_text = _read_text(config_file)
    settings = _check(TypeAdapter(Settings), _parse_yaml(config_file, config_text), config_file)
    data = _check(TypeAdapter(Data), _read_json(run_folder / "data.json"), run_folder / "data.json")
    if data.task not in PRIMARY_METRIC:
        raise ReportError(f"{run_folder / 'data.json'}: task {data.task!r} is not one of {', '.join(PRIMARY_METRIC)}")
    rounds = _read_lines(run_folder / "metrics.jsonl", TypeAdapter(Round), notes)
    _check_rounds(rounds, run_folder / "metrics.jsonl")
    rows = _read_lines(run_folder / "ledger.jsonl", TypeAdapter(LedgerRow), notes)
    summary = _read_summary(run_folder / "summary.json")
    if summary is None or not summary.finished:
        asked = settings.training.rounds
        notes.append(f"This run did not finish: {len(rounds)} of the {asked} rounds asked for are recorded.")
    skipped = sum(entry.skipped for entry in rounds)
    if skipped:
        notes.append(
            f"{skipped} of the {len(rounds)} rounds were skipped: drop-outs left fewer clients than "
            "method.min_participants, and the model stayed as it was."
        )
    refused = [entry.round for entry in rounds if any(entry.refused.values())]
    if refused:
        notes.append(
            f"Clients refused the sum of {len(refused)} of the {len(rounds)} rounds "
            f"({', '.join(map(str, refused))}): it was not that of their contributions. What was trained in those "
            "rounds was given up; run.log has the reasons."
        )
    parts_file, environment_file = run_folder / "parts.json", run_folder / "environment.json"
    return RunRecord(
        config_text=config_text,
        settings=settings,
        environment=_check(TypeAdapter(dict[str, Any]), _read_json(environment_file), environment_file),
        parts=_check(TypeAdapter(Parts), _read_json(parts_file), parts_file),
        data=data,
        rounds=rounds,
        ledger=_of_finished_rounds(rows, rounds, notes),
        summary=summary,
        notes=notes,
    )


def _check_rounds(rounds: list[Round], file: Path) -> None:
    if not rounds:
        raise ReportError(f"{file} holds no finished round, so there is nothing to report yet")
    for earlier, later in pairwise(rounds):
        if later.round <= earlier.round:
            raise ReportError(f"{file}: round {later.round} follows round {earlier.round}; rounds must ascend")


def _of_finished_rounds(rows: list[LedgerRow], rounds: list[Round], notes: list[str]) -> list[LedgerRow]:
    # Shares are taken of the wall time of finished rounds; rows of others would not be in proportion to it.
    finished = {entry.round for entry in rounds} | {-1}
    kept = [row for row in rows if row.round in finished]
    left_out = sorted({row.round for row in rows} - finished)
    if left_out:
        names = ", ".join(str(number) for number in left_out)
        notes.append(f"ledger.jsonl has rows of rounds that did not finish ({names}); they are left out.")
    return kept


def _read_summary(file: Path) -> Summary | None:
    return _check(TypeAdapter(Summary), _read_json(file), file) if file.exists() else None


def _read_bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        raise ReportError(f"{file} is missing; the report needs the run folder as the trainer wrote it") from None
    except OSError as error:
        raise ReportError(f"cannot read {file}: {error.strerror}") from None


def _read_text(file: Path) -> str:
    try:
        return _read_bytes(file).decode("utf-8")
    except UnicodeDecodeError as error:
        raise ReportError(f"{file} is not UTF-8 text: byte {error.start} cannot be decoded") from None


def _parse_yaml(file: Path, text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ReportError(f"{file} is not valid YAML: {error}") from None


def _read_json(file: Path) -> Any:
    try:
        return json.loads(_read_text(file))
    except json.JSONDecodeError as error:
        raise ReportError(f"{file} is not valid JSON (truncated?): line {error.lineno}, {error.msg}") from None


def _read_lines(file: Path, adapter: TypeAdapter[_Checked], notes: list[str]) -> list[_Checked]:
    """One checked object per line; a last line without its newline that does not parse is noted and left out."""
    *lines, tail = _read_bytes(file).split(b"\n")
    checked = []
    for number, line in enumerate([*lines, tail], start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (json.JSONDecodeError, UnicodeDecodeError):
            if number > len(lines):
                notes.append(f"The last line of {file.name} is torn (the run was stopped mid-write); it is left out.")
                continue
            raise ReportError(f"{file}, line {number}: not valid JSON: {line[:60]!r}") from None
        checked.append(_check(adapter, value, f"{file}, line {number}"))
    return checked


def _check(adapter: TypeAdapter[_Checked], value: Any, where: Path | str) -> _Checked:
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join(str(step) for step in problem["loc"]) or "the whole of it"
        raise ReportError(f"{where}: {key}: {problem['msg']}") from None
