"""Comparisons of known numbers, in folders as runs leave them; and a real one, run once for all tests."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from trainer.cli import main
from trainer.comparison.folder import CellRecord, ComparisonFolder
from trainer.comparison.plan import Cell, Plan, parse_variants
from trainer.comparison.results import Results, read_results
from trainer.config import load

CLIENTS = ("north", "south")
CUT_BYTES, FRAME_BYTES = 1000, 10
TRAIN_SECONDS, EVALUATE_SECONDS = 2.0, 0.5

Curves = Mapping[str, Mapping[int, Sequence[Sequence[float]]]]
"""Variant -> seed -> by round the primary metric of each client."""


@dataclass(frozen=True)
class Made:
    """A comparison whose runs were written, not trained."""

    folder: ComparisonFolder
    plan: Plan
    results: Results


@pytest.fixture
def compared(tmp_path: Path) -> Callable[..., Made]:
    """`compared({"dcsfl": {1: [[0.5, 0.6], [0.7, 0.8]]}, ...})`: final Dice 0.7 at north and 0.8 at south."""

    def make(
        curves: Curves,
        *variants: str,
        task: str = "segmentation",
        missing: str = "",
        sha256: Any = None,
        **names: Any,
    ) -> Made:
        plain = ",".join(name for name in curves if " " not in name)
        seeds = tuple(dict.fromkeys(seed for by_seed in curves.values() for seed in by_seed))
        rounds = len(next(iter(next(iter(curves.values())).values())))
        shared = load((), [f"training.rounds={rounds}", f"training.task={task}", *names.get("overrides", ())])
        plan = Plan(parse_variants(plain, variants), seeds, shared)
        folder = ComparisonFolder.create(tmp_path / f"comparison-{len(list(tmp_path.iterdir()))}", plan)
        for cell in plan.cells:
            if cell.variant.name != missing:
                digest = sha256(cell) if sha256 else f"data of seed {cell.seed}"
                clients = names.get("clients", CLIENTS)
                _write_run(folder.run_folder(cell).path, cell, curves[cell.variant.name][cell.seed], digest, clients)
        records = {
            cell.key: CellRecord(seconds=10.0, together_seconds=20.0, peak_bytes=7 << 20) for cell in plan.cells
        }
        folder.write_records(records)
        return Made(folder, plan, read_results(folder, plan))

    return make


def _write_run(
    path: Path, cell: Cell, scores: Sequence[Sequence[float]], digest: str, clients: Sequence[str]
) -> None:
    path.mkdir(parents=True)
    segmentation = cell.config.training.task == "segmentation"
    averages = cell.variant.method not in ("local", "centralised")
    (path / "config.yaml").write_text(cell.config.dump())
    (path / "report.html").write_text("")
    (path / "ledger.jsonl").write_text("")
    _write_json(path / "environment.json", {"python": "3.12", "commit": None})
    parts = {"network": "unet", "parts": [], "cuts": [], "encrypted_values": 1, "ciphertext_bytes": 1}
    _write_json(path / "parts.json", parts)
    data = {
        "task": cell.config.training.task,
        "class_names": ["background", "organ & co_1"] if segmentation else [],
        "provenance": "numbers",
        "notes": [],
        "sha256": digest,
        "clients": [{"name": name, "description": "", "train": 8, "test": 2} for name in clients],
    }
    _write_json(path / "data.json", data)
    rows = []
    for number, by_client in enumerate(scores):
        figures = {name: _figures(value, segmentation) for name, value in zip(clients, by_client, strict=True)}
        mean = {key: sum(found[key] for found in figures.values()) / len(figures) for key in figures[clients[0]]}
        pooled = cell.variant.method == "centralised"
        rows.append(
            {
                "round": number,
                "train_loss": {},
                "train_loss_mean": 1.0,
                "evaluation": {"mean": mean, "clients": figures},
                "wall_seconds": TRAIN_SECONDS + EVALUATE_SECONDS,
                "train_seconds": TRAIN_SECONDS,
                "evaluate_seconds": EVALUATE_SECONDS,
                "encryption_seconds": 0.1 if averages else 0.0,
                "cut_bytes": CUT_BYTES,
                "aggregation_bytes": FRAME_BYTES if averages else 0,
                "saturated_values": 0,
                "took_part": {"pooled": 1} if pooled else dict.fromkeys(clients, 1),
            }
        )
    (path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    summary = {"final": rows[-1]["evaluation"]["mean"], "rounds": len(rows), "finished": True}
    _write_json(path / "summary.json", summary)


def _figures(value: float, segmentation: bool) -> dict[str, float]:
    if segmentation:
        return {"dice": value, "hd95": 10 * (1 - value), "dice/organ & co_1": value}
    return {"psnr": value, "ssim": value / 40, "rmse": 1 / value}


def _write_json(file: Path, value: Any) -> None:
    file.write_text(json.dumps(value))


TINY = (
    "data.image_size=32",
    "data.clients=2",
    "data.max_slices=4",
    "network.features=[4,4,8,8,8,4]",
    "network.client_levels=1",
    "training.batch_size=4",
    "encryption.scheme=plain",
    "training.rounds=6",
    "training.hd95=false",
    "run.examples=0",
    "--methods=dcsfl,local",
    "--seeds=1,2",
)
"""Arguments of a comparison of four runs, most of whose time is imports."""


@pytest.fixture(scope="session")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a comparison as `dcsfl-train compare` made it, two runs at a time. Copy it to change it."""
    folder = tmp_path_factory.mktemp("compare") / "whole"
    result = CliRunner().invoke(main, ["compare", *TINY, "--jobs=2", f"--into={folder}"])
    assert result.exit_code == 0, result.output
    return folder


@pytest.fixture
def tiny() -> tuple[str, ...]:
    """The arguments that made `real`, but --jobs and --into."""
    return TINY
