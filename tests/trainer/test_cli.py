"""The command line: what it teaches, what it prints, and that what it announces is what happens."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

import he_core
from trainer.config import load

PAILLIER = ("encryption.scheme=paillier", "encryption.parameters.modulus_bits=2048")


@pytest.mark.parametrize("arguments", [("--help",), ("-h",), ("run", "--help")])
def test_help_teaches_by_examples_that_load(arguments: tuple[str, ...], cli: Any) -> None:
    result = cli(*arguments)
    assert result.exit_code == 0
    examples = re.findall(r"^ +dcsfl-train run (.*?)(?:  .*)?$", result.stdout, re.MULTILINE)
    assert len(examples) >= 3
    for example in examples:
        load((), [word for word in example.split() if "=" in word])


def test_help_of_run_names_every_option(cli: Any) -> None:
    text = cli("run", "--help").stdout
    for option in ("--config", "--print-config", "--dry-run", "--resume", "--into", "--format", "--quiet"):
        assert option in text


def test_version_is_that_of_the_package(cli: Any) -> None:
    assert re.search(r"\d+\.\d+", cli("--version").stdout)


def test_schemes_lists_every_registered_scheme_and_backend(cli: Any) -> None:
    result = cli("schemes")
    assert result.exit_code == 0
    statuses = he_core.registry.default().statuses()
    assert len(statuses) >= 3
    for status in statuses:
        assert re.search(rf"│ {status.scheme} +│ {status.backend} +│", result.stdout)
    assert f"kernels in use: {he_core.kernel_target()}" in result.stdout
    assert re.search(r"│ rlwe +│ native +│ yes +│ 128 bits", result.stdout)
    assert re.search(r"│ paillier +│ gmpy2 +│ yes +│ 128 bits", result.stdout)
    assert re.search(r"│ plain +│ numpy +│ yes +│ none", result.stdout)


# --- print-config ---------------------------------------------------------------------------------------------


def test_print_config_is_a_config_file_of_the_same_configuration(cli: Any, tmp_path: Path) -> None:
    overrides = ("training.learning_rate=1e-5", "data.max_slices=null", "network.features=[8,8,16,16,16,8]")
    printed = cli("run", "--print-config", *overrides)
    assert printed.exit_code == 0
    (tmp_path / "a.yaml").write_text(printed.stdout)
    assert load([tmp_path / "a.yaml"]) == load((), overrides)
    assert cli("run", "--print-config", "--config", tmp_path / "a.yaml").stdout == printed.stdout


def test_later_config_files_and_then_overrides_win(cli: Any, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("training: {rounds: 3, batch_size: 3, local_epochs: 3}\n")
    (tmp_path / "b.yaml").write_text("training: {rounds: 4, batch_size: 4}\n")
    files = ("--config", tmp_path / "a.yaml", "--config", tmp_path / "b.yaml")
    printed = cli("run", "--print-config", *files, "training.rounds=5").stdout
    for line in ("  rounds: 5 ", "  batch_size: 4 ", "  local_epochs: 3 "):
        assert line in printed


def test_print_config_of_a_resume_is_that_of_the_run(cli: Any, quick_config: Any, start: Any, tmp_path: Path) -> None:
    start(quick_config("run.seed=77"), tmp_path / "run")
    assert "  seed: 77 " in cli("run", "--print-config", "--resume", tmp_path / "run").stdout


# --- dry run ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "setting",
    [
        (),
        PAILLIER,
        ("encryption.scheme=none",),
        ("training.task=restoration", "network.name=redcnn", "network.channels=4"),
    ],
    ids=["plain", "paillier", "none", "redcnn"],
)
def test_a_dry_run_announces_the_bytes_that_a_run_sends(
    setting: tuple[str, ...], cli: Any, quick: tuple[str, ...], tmp_path: Path
) -> None:
    overrides = (*quick, "training.batch_size=2", "training.rounds=1", *setting)
    dry = cli("run", "--dry-run", *overrides)
    assert dry.exit_code == 0
    assert not (tmp_path / "run").exists()
    per_batch = [_number(text) for text in re.findall(r"│ +([\d,]+) +│$", dry.stdout, re.MULTILINE)[-2:]]
    announced = " ".join(dry.stdout.split())
    sent = _number(re.search(r"ciphertext of [\d,]+ values: ([\d,]+) bytes", announced)[1])  # type: ignore[index]

    assert cli("run", "--into", tmp_path / "run", *overrides).exit_code == 0
    row = json.loads((tmp_path / "run" / "metrics.jsonl").read_text())
    batches = 2 * 2  # two clients of four images
    assert row["cut_bytes"] == batches * sum(per_batch)
    ledger = [json.loads(line) for line in (tmp_path / "run" / "ledger.jsonl").read_text().splitlines()]
    frames = {cost["party"]: cost["bytes"] for cost in ledger if cost["stage"] == "frame"}
    assert {frames[party] for party in ("hospital-1", "hospital-2")} == {sent}
    # Each client sends one frame and receives the sum, whose header names one participant more.
    received = frames["aggregation"]
    assert 0 < received - sent < 64
    assert row["aggregation_bytes"] == 2 * (sent + received)


def test_a_dry_run_tells_blocks_flops_who_holds_what_and_the_cuts_to_choose_from(
    cli: Any, quick: tuple[str, ...]
) -> None:
    parts = json.loads(cli("run", "--dry-run", "--format", "json", *quick, "network.client_levels=3").stdout)
    shown = " ".join(cli("run", "--dry-run", *quick, "network.client_levels=3").stdout.split())
    for words in ("conv_0, down_1, down_2", "MFLOPs", "who holds what", "aggregation server", "3 tensors from head"):
        assert words in shown
    for choice in parts["choices"]:
        line = rf"│ {choice['client_levels']} │ {choice['parameters']:,} \([\d.]+%\) │ [\d.,]+ \([\d.]+%\) │ "
        marked = "chosen" if choice["client_levels"] == 3 else ""
        assert re.search(line + rf"{choice['cut_bytes_per_image']:,} │ {marked} ?│", shown), choice


def test_a_dry_run_of_a_method_that_does_not_average_says_so(cli: Any, quick: tuple[str, ...]) -> None:
    assert (
        "method local averages nothing: no ciphertext" in cli("run", "--dry-run", *quick, "method.name=local").stdout
    )


def test_a_dry_run_as_json_is_one_object(cli: Any, quick: tuple[str, ...]) -> None:
    parts = json.loads(cli("run", "--dry-run", "--format", "json", *quick).stdout)
    assert [part["part"] for part in parts["parts"]] == ["head", "body", "tail"]
    assert parts["ciphertext_bytes"] > 0


def _number(text: str) -> int:
    return int(text.replace(",", ""))


# --- what a run prints -----------------------------------------------------------------------------------------


def test_json_prints_only_the_rows_of_the_metrics(cli: Any, quick: tuple[str, ...], tmp_path: Path) -> None:
    result = cli("run", "--format", "json", "--into", tmp_path / "run", *quick)
    assert result.stdout == (tmp_path / "run" / "metrics.jsonl").read_text()
    assert len(result.stdout.splitlines()) == 2
    assert result.stderr == ""


def test_quiet_prints_the_folder_alone(command: Any, quick: tuple[str, ...], tmp_path: Path) -> None:
    process = command.run("run", "--quiet", *quick, "run.name=my-run")
    assert process.status == 0, process.stderr
    assert process.stderr == ""
    (line,) = process.stdout.splitlines()
    assert re.fullmatch(r"runs/my-run/\d{8}-\d{6}", line)
    assert (tmp_path / line / "report.html").exists()


def test_text_names_folder_source_clients_and_report(cli: Any, quick: tuple[str, ...], tmp_path: Path) -> None:
    result = cli("run", "--into", tmp_path / "run", *quick)
    assert result.exit_code == 0
    for words in (
        f"run folder: {tmp_path / 'run'}",
        "MNI ICBM152",
        "hospital-2: 4 training, 1 test images",
        "finished 2 rounds",
        f"report: {tmp_path / 'run' / 'report.html'}",
    ):
        assert words in result.stderr


def test_a_run_of_the_users_own_folder_needs_no_more_than_its_path(
    cli: Any, quick: tuple[str, ...], tmp_path: Path
) -> None:
    import numpy as np
    from PIL import Image

    generator = np.random.default_rng(5)
    for site in ("north", "south"):
        for kind in ("images", "masks"):
            (tmp_path / "sites" / site / kind).mkdir(parents=True)
        for number in range(4):
            mask = np.zeros((40, 40), np.uint8)
            mask[10 : 20 + number, 10:30] = 255
            image = np.clip(mask // 2 + generator.integers(0, 60, mask.shape), 0, 255).astype(np.uint8)
            Image.fromarray(image).save(tmp_path / "sites" / site / "images" / f"{number}.png")
            Image.fromarray(mask).save(tmp_path / "sites" / site / "masks" / f"{number}.png")
    own = ("data.source=folder", f"data.path={tmp_path / 'sites'}")
    result = cli("run", "--into", tmp_path / "run", *quick, *own)
    assert result.exit_code == 0, result.stderr
    assert "north: 3 training, 1 test images" in result.stderr
    row = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[-1])
    assert set(row["evaluation"]["clients"]) == {"north", "south"}
