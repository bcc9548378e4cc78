"""A run folder as a trainer leaves it, in computed numbers: learning curves, a ledger, blob-shaped example images."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from he_core.cost import STAGES
from trainer.config import load

CLIENT_STAGES = {"quantise": 0.004, "pack": 0.002, "encrypt": 0.31, "frame": 0.001, "decrypt": 0.12, "unpack": 0.002}
SERVER_STAGES = {"parse": 0.003, "add": 0.02, "frame": 0.001}
VALUES, FRAME_BYTES = 7_812, 28_431
CLASSES = ["background", "other brain", "grey matter", "white matter"]

RunFolder = Callable[..., Path]


@pytest.fixture
def make_run(tmp_path: Path) -> RunFolder:
    """`make_run(...)` writes a finished run of any task, size and scheme into a new folder and returns it."""

    def make(
        *,
        rounds: int = 6,
        clients: int = 4,
        task: str = "segmentation",
        method: str = "dcsfl",
        scheme: str = "paillier",
        client_names: list[str] | None = None,
        class_names: list[str] = CLASSES,
        provenance: str = "MNI ICBM152 2009a template, made of 152 real brains; its notice permits redistribution.",
    ) -> Path:
        folder = tmp_path / f"run-{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        names = client_names or [f"client-{index}" for index in range(clients)]
        random = np.random.default_rng(7)
        overrides = [f"training.rounds={rounds}", f"method.name={method}", f"encryption.scheme={scheme}"]
        (folder / "config.yaml").write_text(load((), [*overrides, f"training.task={task}"]).dump())
        aggregates = method not in ("local", "centralised")
        ledger = _ledger(rounds, names, random) if aggregates else []
        metrics = [
            _round(
                number, rounds=rounds, names=names, task=task, class_names=class_names, ledger=ledger, random=random
            )
            for number in range(rounds)
        ]
        _write_json(folder / "environment.json", ENVIRONMENT)
        _write_json(folder / "parts.json", PARTS)
        data = {"task": task, "class_names": class_names if task == "segmentation" else [], "provenance": provenance}
        data["notes"] = ["The template is an average of many brains, not a patient."]
        data["clients"] = [
            {"name": name, "description": f"gamma {0.8 + 0.1 * i:.1f}, noise {2 + i} %", "train": 30 + i, "test": 10}
            for i, name in enumerate(names)
        ]
        _write_json(folder / "data.json", data)
        _write_lines(folder / "metrics.jsonl", metrics)
        _write_lines(folder / "ledger.jsonl", ledger)
        final = metrics[-1]["evaluation"]["mean"]
        _write_json(folder / "summary.json", {"final": final, "best_round": rounds - 1, "finished": True})
        np.savez(folder / "examples.npz", **_examples(names, task))
        return folder

    return make


ENVIRONMENT = {
    "dcsfl": "0.1.0",
    "python": "3.12.4",
    "torch": "2.13.0",
    "numpy": "2.4.6",
    "gmpy2": "2.3.2",
    "platform": "Linux x86_64",
    "cpu": "a processor with AVX-512",
    "cores": 2,
    "commit": None,
    "started": "2026-01-05T09:30:00+00:00",
}
PARTS = {
    "network": "unet",
    "parts": [
        {
            "part": "head",
            "party": "client",
            "parameters": 2_544,
            "blocks": ["conv_0", "pool"],
            "flops": 44_236_800,
            "training_flops": 130_056_192,
        },
        {"part": "body", "party": "compute server", "parameters": 486_112},  # as an earlier version wrote it
        {"part": "tail", "party": "client", "parameters": 5_268},
    ],
    "cuts": [
        {"cut": "head to body", "shape": [16, 96, 96], "bytes_per_image": 589_824},
        {"cut": "body to tail", "shape": [16, 96, 96], "bytes_per_image": 589_824},
    ],
    "kept": [{"shape": [16, 96, 96], "bytes_per_image": 589_824}],
    "choices": [
        {
            "client_levels": level,
            "chosen": level == 1,
            "parameters": 7_812 * level,
            "parameters_share": 0.02 * level,
            "training_flops": 614_000_000 * level,
            "training_flops_share": 0.3 * level,
            "cut_bytes_per_image": 1_179_648 // level,
        }
        for level in (1, 2, 3)
    ],
    "encrypted_values": VALUES,
    "ciphertext_bytes": FRAME_BYTES,
}


def _ledger(rounds: int, names: list[str], random: np.random.Generator) -> list[dict[str, Any]]:
    rows = [_row(-1, names[0], "keys", seconds=1.4, put_out=1_000, values=0, random=random)]
    for number in range(rounds):
        for name in names:
            for stage, seconds in CLIENT_STAGES.items():
                put_out = FRAME_BYTES if stage in ("encrypt", "frame") else 4 * VALUES
                rows.append(_row(number, name, stage, seconds=seconds, put_out=put_out, values=VALUES, random=random))
        for stage, seconds in SERVER_STAGES.items():
            rows.append(
                _row(
                    number,
                    "aggregation server",
                    stage,
                    seconds=seconds,
                    put_out=FRAME_BYTES,
                    values=VALUES,
                    random=random,
                )
            )
    return rows


def _row(
    number: int, party: str, stage: str, *, seconds: float, put_out: int, values: int, random: np.random.Generator
) -> dict[str, Any]:
    elapsed = int(seconds * 1e9 * random.uniform(0.85, 1.15))
    cost = {"elapsed_ns": elapsed, "bytes": put_out, "values": values, "calls": 1}
    return {"round": number, "party": party, "stage": stage, **cost}


def _round(
    number: int,
    *,
    rounds: int,
    names: list[str],
    task: str,
    class_names: list[str],
    ledger: list[dict[str, Any]],
    random: np.random.Generator,
) -> dict[str, Any]:
    progress = 1 - np.exp(-4 * (number + 1) / rounds)
    losses = {name: float(1 - 0.8 * progress + 0.05 * i * random.uniform(0.8, 1.2)) for i, name in enumerate(names)}
    per_client = {name: _scores(task, class_names, progress - 0.03 * i, random) for i, name in enumerate(names)}
    mean = {key: float(np.mean([scores[key] for scores in per_client.values()])) for key in per_client[names[0]]}
    pipeline = [row["elapsed_ns"] for row in ledger if row["round"] == number and row["stage"] in STAGES]
    encryption = sum(pipeline) / 1e9
    return {
        "round": number,
        "train_loss": losses,
        "train_loss_mean": float(np.mean(list(losses.values()))),
        "evaluation": {"mean": mean, "clients": per_client},
        "wall_seconds": 5.4 + encryption,
        "train_seconds": 4.8,
        "evaluate_seconds": 0.4,
        "encryption_seconds": encryption,
        "encryption_share": encryption / (5.4 + encryption),
        "cut_bytes": 4 * 589_824 * 126,
        "aggregation_bytes": 2 * FRAME_BYTES * len(names) if ledger else 0,
        "saturated_values": 3 if number == 0 and ledger else 0,
        "step": 1.2e-6,
    }


def _scores(task: str, class_names: list[str], progress: float, random: np.random.Generator) -> dict[str, float]:
    if task == "restoration":
        return {"psnr": 24 + 9 * progress, "ssim": 0.6 + 0.3 * progress, "rmse": 0.09 - 0.06 * progress}
    classes = {
        f"dice/{name}": float(np.clip(0.3 + (0.6 - 0.08 * i) * progress + random.normal(0, 0.012), 0, 1))
        for i, name in enumerate(class_names[1:])
    }
    return {"dice": float(np.mean(list(classes.values()))), **classes}


def _examples(names: list[str], task: str) -> dict[str, np.ndarray]:
    size, count = 48, 2 * len(names)
    y, x = np.mgrid[:size, :size] - size / 2
    images, targets, predictions = [], [], []
    for index in range(count):
        angle = np.arctan2(y, x)
        radius = np.hypot(x * (1 + 0.03 * index), y) + 1.5 * np.sin(5 * angle + index)
        target = np.digitize(-radius, [-20.0, -16.0, -10.0])
        prediction = np.digitize(-radius - 0.9 * np.sin(7 * angle - index), [-20.0, -16.0, -10.0])
        noise = np.random.default_rng(index).normal(0, 0.05, (size, size))
        images.append(target / 3 + noise)
        targets.append(target)
        predictions.append(prediction)
    if task == "restoration":
        clean = np.stack(targets) / 3
        targets = list(clean.astype(np.float32))
        predictions = list((clean + 0.2 * (np.stack(images) - clean)).astype(np.float32))
    labels = [f"{name} slice-{60 + index:03d}" for index, name in enumerate(names * 2)]
    return {
        "images": np.stack(images).astype(np.float32),
        "targets": np.stack(targets),
        "predictions": np.stack(predictions),
        "labels": np.array(labels),
    }


def _write_json(file: Path, value: Any) -> None:
    file.write_text(json.dumps(value, indent=2))


def _write_lines(file: Path, rows: list[dict[str, Any]]) -> None:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def edit_json() -> Callable[[Path, Callable[[Any], None]], None]:
    """`edit_json(file, change)` loads `file`, lets `change` alter the value in place, and writes it back."""

    def edit(file: Path, change: Callable[[Any], None]) -> None:
        value = yaml.safe_load(file.read_text()) if file.suffix == ".yaml" else json.loads(file.read_text())
        change(value)
        file.write_text(yaml.safe_dump(value) if file.suffix == ".yaml" else json.dumps(value))

    return edit
