"""What users do wrong, and what machines do to them: each ends in a message that says how to do it right.

Never a traceback; status 1; and no run folder where the mistake was there before training began.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from trainer import checkpoint

PAILLIER = ("encryption.scheme=paillier", "encryption.parameters.modulus_bits=2048")
Refused = Callable[..., str]


@pytest.fixture
def refused(cli: Any, quick: tuple[str, ...], tmp_path: Path) -> Refused:
    """`refused(*arguments)`: the one-line message of a run that must not start; no run folder may be left."""

    def run(*arguments: str | Path) -> str:
        result = cli("run", *quick, f"run.folder={tmp_path / 'runs'}", *arguments)
        assert result.exit_code == 1, result.output
        assert result.stdout == ""
        assert not (tmp_path / "runs").exists()
        (line,) = result.stderr.splitlines()
        assert line.startswith("error: ")
        return line.removeprefix("error: ")

    return run


# --- configuration ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["training.round=3"], ["unknown config key 'training.round'", "did you mean 'training.rounds'?"]),
        (["method.correction.mod=ema"], ["'method.correction.mod'", "'method.correction.mode'?"]),
        (["training.bits=3"], ["'training.bits'", "did you mean 'encryption.bits'?"]),
        (["training.rounds=few"], ["training.rounds='few'", "valid integer"]),
        (["training.learning_rate=0"], ["training.learning_rate=0", "greater than 0"]),
        (["training.rounds"], ["override 'training.rounds'", "training.rounds=20"]),
        (["--config", "missing.yaml"], ["missing.yaml", "No such file"]),
        (["encryption.scheme=pailler"], ["unknown scheme 'pailler'", "did you mean 'paillier'?"]),
        (["encryption.backend=nump"], ["unknown backend of scheme 'plain'", "'nump'", "did you mean 'numpy'?"]),
        (["encryption.scheme=paillier", "encryption.parameters.bits=3072"], ["'bits'", "modulus_bits"]),
        (["encryption.scheme=paillier", "encryption.parameters.modulus_bits=1024"], ["modulus_bits=1024", "2048"]),
        (["encryption.scheme=paillier", "encryption.parameters.modulus_bits=big"], ["modulus_bits='big'", "whole"]),
        (["method.name=dscfl"], ["unknown method.name='dscfl'", "did you mean 'dcsfl'?"]),
        (["network.name=u-net"], ["unknown network.name='u-net'", "did you mean 'unet'?"]),
        (["network.name=redcnn"], ["network.name=redcnn does not serve training.task=segmentation", "unet"]),
        (["network.features=[8,8]"], ["network.features=[8, 8]", "six channel counts"]),
        (["data.image_size=16"], ["16x16", "data.image_size to 32 or more"]),
        (["data.clients=9"], ["9 clients, but encryption.k_max=8", "set encryption.k_max=9 or more"]),
        (["data.clients=200", "encryption.k_max=200"], ["lower data.clients or data.gap"]),
        (["run.device=cuda:7"], ["run.device='cuda:7' cannot be used here"]),
        (["run.device=warp"], ["run.device='warp' cannot be used here"]),
        (["data.source=folder"], ["data.source=folder needs data.path"]),
        (["data.source=folder", "data.path=nowhere"], ["data.path=nowhere does not exist"]),
    ],
    ids=lambda value: value[0] if len(value) == 1 else None,
)
def test_a_wrong_configuration_is_refused_before_anything_is_written(
    arguments: list[str], words: list[str], refused: Refused
) -> None:
    message = refused(*arguments)
    for word in words:
        assert word in message


@pytest.mark.parametrize("text", ["training: [", "- a list\n"])
def test_a_broken_config_file_is_refused_by_name(text: str, refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "broken.yaml").write_text(text)
    assert str(tmp_path / "broken.yaml") in refused("--config", tmp_path / "broken.yaml")


@pytest.mark.parametrize("arguments", [["data.clients=9"], ["encryption.scheme=pailler"], ["network.features=[8]"]])
def test_a_dry_run_refuses_what_a_run_would(arguments: list[str], refused: Refused) -> None:
    assert refused("--dry-run", *arguments) == refused(*arguments)


def test_resume_and_into_exclude_each_other(cli: Any, tmp_path: Path) -> None:
    result = cli("run", "--resume", tmp_path, "--into", tmp_path / "new")
    assert result.exit_code == 2
    assert "--into names the folder of a new run" in result.stderr


def test_an_unknown_option_is_refused_with_the_usage(cli: Any) -> None:
    result = cli("run", "--rounds", "5")
    assert result.exit_code == 2
    assert "No such option" in result.stderr


def test_tensorboard_that_is_not_installed_is_refused_with_the_command_that_installs_it(
    refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("torch.utils.tensorboard")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    assert "pip install 'dcsfl[tensorboard]'" in refused("run.tensorboard=true")


def test_a_missing_demo_package_is_refused_with_the_command_that_installs_it(
    refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainer.data.brain_mri.importlib.util.find_spec", lambda name: None)
    assert 'pip install "dcsfl[demo]"' in refused()


# --- images ---------------------------------------------------------------------------------------------------


def test_an_image_without_its_mask_is_refused_by_name(cli: Any, quick: tuple[str, ...], tmp_path: Path) -> None:
    for kind in ("images", "masks"):
        (tmp_path / "sites" / "north" / kind).mkdir(parents=True)
    pixels = np.arange(64 * 64, dtype=np.uint8).reshape(64, 64)
    for number in range(3):
        Image.fromarray(pixels).save(tmp_path / "sites" / "north" / "images" / f"patient{number}.png")
        if number != 1:
            Image.fromarray((pixels > 99).astype(np.uint8)).save(
                tmp_path / "sites" / "north" / "masks" / f"patient{number}.png"
            )
    own = ("data.source=folder", f"data.path={tmp_path / 'sites'}")
    result = cli("run", "--into", tmp_path / "run", *quick, *own)
    assert result.exit_code == 1
    assert "patient1.png" in result.stderr
    assert "mask" in result.stderr
    assert not (tmp_path / "run").exists()


# --- places ----------------------------------------------------------------------------------------------------


def test_into_a_folder_that_exists_is_refused_and_the_folder_left_alone(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "notes.txt").write_text("mine")
    assert f"run folder {tmp_path / 'old'} exists; choose another" in refused("--into", tmp_path / "old")
    assert [file.name for file in (tmp_path / "old").iterdir()] == ["notes.txt"]


def test_into_a_run_folder_the_way_on_is_to_resume_it(
    refused: Refused, quick_config: Any, start: Any, tmp_path: Path
) -> None:
    start(quick_config(), tmp_path / "old").run()
    assert f"or resume it with --resume {tmp_path / 'old'}" in refused("--into", tmp_path / "old")


@pytest.mark.parametrize("place", ["/proc/run", "a file/run"])
def test_a_run_folder_that_cannot_be_made_is_refused(place: str, refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "a file").write_text("")
    assert f"cannot make run folder {tmp_path / place}: " in refused("--into", tmp_path / place)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_parent_that_is_not_writable_is_refused(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    assert "Permission denied" in refused("--into", tmp_path / "locked" / "run")


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "there is no run folder"), ("notes.txt", "is no run folder: there is no config.yaml in it")],
)
def test_resuming_what_is_no_run_folder_is_refused(content: str | None, words: str, cli: Any, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / content).write_text("")
    result = cli("run", "--resume", tmp_path / "run")
    assert result.exit_code == 1
    assert words in result.stderr
    assert str(tmp_path / "run") in result.stderr


def test_resuming_a_folder_without_a_checkpoint_is_refused(
    cli: Any, quick_config: Any, start: Any, tmp_path: Path
) -> None:
    start(quick_config(), tmp_path / "run")
    result = cli("run", "--resume", tmp_path / "run")
    assert result.exit_code == 1
    assert f"no whole checkpoint at {tmp_path / 'run' / 'checkpoints' / 'latest'}" in result.stderr


# --- keys ----------------------------------------------------------------------------------------------------


@pytest.fixture
def keys(cli: Any, quick: tuple[str, ...], tmp_path: Path) -> Path:
    """A folder with the keys of a run of scheme plain."""
    result = cli("run", "--into", tmp_path / "first", *quick, f"encryption.key_folder={tmp_path / 'keys'}")
    assert result.exit_code == 0
    return tmp_path / "keys"


@pytest.mark.parametrize(("gone", "there"), [("public.key", "secret.key"), ("secret.key", "public.key")])
def test_half_a_key_pair_is_refused(gone: str, there: str, keys: Path, refused: Refused) -> None:
    (keys / gone).unlink()
    assert f"encryption.key_folder={keys} holds {there} but no {gone}" in refused(f"encryption.key_folder={keys}")


def test_keys_of_another_scheme_are_refused(keys: Path, refused: Refused) -> None:
    message = refused(f"encryption.key_folder={keys}", *PAILLIER)
    assert "'plain'" in message
    assert "cannot serve scheme 'paillier'" in message


def test_a_secret_key_that_others_may_read_is_refused_with_the_command_that_mends_it(
    keys: Path, refused: Refused
) -> None:
    (keys / "secret.key").chmod(0o644)
    message = refused(f"encryption.key_folder={keys}")
    assert "mode 0644 lets others read a secret key" in message
    assert f"chmod 600 {keys / 'secret.key'}" in message


def test_halves_of_different_pairs_are_refused(
    keys: Path, refused: Refused, cli: Any, quick: tuple[str, ...], tmp_path: Path
) -> None:
    cli("run", "--into", tmp_path / "second", *quick, f"encryption.key_folder={tmp_path / 'other'}")
    (tmp_path / "other" / "public.key").replace(keys / "public.key")
    assert "are not a pair" in refused(f"encryption.key_folder={keys}")


def test_a_key_file_that_is_damaged_is_refused_by_name(keys: Path, refused: Refused) -> None:
    (keys / "public.key").write_text("{")
    assert f"key file {keys / 'public.key'}: is not JSON" in refused(f"encryption.key_folder={keys}")


def test_a_key_folder_that_cannot_be_made_is_refused(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "a file").write_text("")
    folder = tmp_path / "a file" / "keys"
    assert f"key folder {folder} cannot be made: Not a directory" in refused(f"encryption.key_folder={folder}")


# --- training that cannot go on ------------------------------------------------------------------------------


def test_an_update_with_nan_is_refused_naming_client_round_and_tensor(
    cli: Any, quick: tuple[str, ...], tmp_path: Path
) -> None:
    result = cli("run", "--into", tmp_path / "run", *quick, "training.learning_rate=1e30", "training.batch_size=1")
    assert result.exit_code == 1
    assert "error: client 0, round 0" in result.stderr
    assert "tensor 'head.conv_0" in result.stderr
    assert "NaN or infinite" in result.stderr
    assert "Lower the learning rate" in result.stderr
    assert "No round is saved yet" in result.stderr
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


@pytest.mark.parametrize("method", ["dcsfl", "local", pytest.param("centralised", marks=pytest.mark.slow)])
def test_a_run_that_diverged_goes_on_from_its_last_good_round_with_other_settings(
    method: str, cli: Any, quick: tuple[str, ...], quick_config: Any, start: Any, go_on: Any, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    good = (f"method.name={method}", "training.batch_size=1", "training.rounds=4")
    start(quick_config(*good, "training.rounds=2"), run).run()
    (run / "config.yaml").write_text(quick_config(*good, "training.learning_rate=1e30").dump())
    before = (run / "metrics.jsonl").read_bytes()
    result = cli("run", "--resume", run)
    assert result.exit_code == 1
    assert "round 2 (counted from 0)" in result.stderr
    assert ("tensor 'head." in result.stderr) == (method == "dcsfl")
    assert f"2 finished round(s) are saved. Go on with:\n  dcsfl-train run --resume {run}\n" in result.stderr
    assert f"To go on with other settings, change them in {run / 'config.yaml'} before" in result.stderr
    assert (run / "metrics.jsonl").read_bytes() == before
    assert checkpoint.read(run / "checkpoints" / "latest").round == 1

    (run / "config.yaml").write_text(quick_config(*good, "training.learning_rate=1e-4").dump())
    assert cli("run", "--resume", run).exit_code == 0
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [row["round"] for row in rows] == [0, 1, 2, 3]


# --- disks ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_checkpoint_that_does_not_fit_on_the_disk_costs_its_round_alone(
    command: Any, quick: tuple[str, ...], quick_config: Any, start: Any, what_remains: Any, tmp_path: Path
) -> None:
    run, config = tmp_path / "run", quick_config("run.examples=0")
    start(quick_config("training.rounds=1", "run.examples=0"), run).run()
    saved = {file: file.read_bytes() for file in (run / "checkpoints" / "round-0000").rglob("*") if file.is_file()}
    # Every file the run writes is smaller but the compute server's state.
    largest = max(map(len, saved.values()))
    (run / "config.yaml").write_text(config.dump())
    process = command.run("run", "--resume", run, file_bytes=largest - 1000)
    assert process.status == 1
    assert "Traceback" not in process.stderr
    assert f"cannot write checkpoint {run / 'checkpoints' / 'round-0001'}: File too large" in process.stderr
    assert "Earlier checkpoints are whole: free some space" in process.stderr
    assert f"1 finished round(s) are saved. Go on with:\n  dcsfl-train run --resume {run}\n" in process.stderr
    assert {file: file.read_bytes() for file in saved} == saved
    assert sorted(entry.name for entry in (run / "checkpoints").iterdir()) == ["best", "latest", "round-0000"]
    assert command.run("run", "--resume", run).status == 0
    start(config, tmp_path / "whole").run()
    assert what_remains(run) == what_remains(tmp_path / "whole")


def test_a_disk_too_full_for_the_first_files_leaves_no_run_folder(
    command: Any, quick: tuple[str, ...], tmp_path: Path
) -> None:
    process = command.run("run", "--into", "run", *quick, file_bytes=300)
    assert process.status == 1
    assert "cannot write run/config.yaml: File too large" in process.stderr
    assert "Traceback" not in process.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "blocked",
    [
        ".metrics.csv.partial",
        pytest.param(".ledger.csv.partial", marks=pytest.mark.slow),
        pytest.param(".summary.json.partial", marks=pytest.mark.slow),
    ],
)
def test_a_disk_too_full_for_a_table_or_the_summary_ends_with_the_way_on(
    blocked: str, cli: Any, quick_config: Any, start: Any, what_remains: Any, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    start(quick_config("training.rounds=1"), run).run()
    (run / "config.yaml").write_text(quick_config("training.rounds=2").dump())
    full = run / blocked

    def fill(*arguments: object) -> dict[str, Any]:
        full.symlink_to("/dev/full")
        return evaluate(*arguments)

    from trainer.methods.split_federated import DcSfl

    evaluate = DcSfl.evaluate
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DcSfl, "evaluate", fill)
        result = cli("run", "--resume", run)
    assert result.exit_code == 1
    assert f"cannot write {run / blocked[1:].removesuffix('.partial')}: No space left on device" in result.stderr
    assert f"dcsfl-train run --resume {run}" in result.stderr
    assert cli("run", "--resume", run).exit_code == 0
    start(quick_config("training.rounds=2"), tmp_path / "whole").run()
    assert what_remains(run) == what_remains(tmp_path / "whole")


@pytest.mark.parametrize("blocked", ["curves.png", pytest.param(".report.html.partial", marks=pytest.mark.slow)])
def test_a_report_that_cannot_be_written_is_written_by_resuming(
    blocked: str, cli: Any, quick_config: Any, start: Any, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    start(quick_config(), run).run()
    (run / "report.html").unlink()
    (run / blocked).unlink(missing_ok=True)
    (run / blocked).symlink_to("/dev/full")
    result = cli("run", "--resume", run)
    assert result.exit_code == 1
    assert f"cannot write the report into {run}: No space left on device" in result.stderr
    assert f"2 finished round(s) are saved. Go on with:\n  dcsfl-train run --resume {run}\n" in result.stderr
    assert not (run / "report.html").exists()
    (run / blocked).unlink(missing_ok=True)
    assert cli("run", "--resume", run).exit_code == 0
    assert "</html>" in (run / "report.html").read_text()
