"""Run folders that are broken, and run folders that are merely unfinished."""

from __future__ import annotations

import json

import pytest

from trainer.errors import TrainerError
from trainer.report import ReportError, write_report
from trainer.report.run_folder import read_run

REQUIRED = ["config.yaml", "environment.json", "parts.json", "data.json", "metrics.jsonl", "ledger.jsonl"]


@pytest.fixture
def folder(make_run):
    return make_run(rounds=3, clients=2)


def test_report_error_is_a_trainer_error():
    assert issubclass(ReportError, TrainerError)


@pytest.mark.parametrize("name", REQUIRED)
def test_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(ReportError, match=rf"{name} is missing"):
        write_report(folder)


@pytest.mark.parametrize("name", ["environment.json", "parts.json", "data.json", "summary.json"])
def test_truncated_json_is_named(folder, name):
    text = (folder / name).read_text()
    (folder / name).write_text(text[: len(text) // 2])
    with pytest.raises(ReportError, match=rf"{name} is not valid JSON \(truncated\?\)"):
        write_report(folder)


def test_missing_folder_is_named(tmp_path):
    with pytest.raises(ReportError, match="nowhere does not exist"):
        write_report(tmp_path / "nowhere")


def test_config_that_is_not_yaml_is_named(folder):
    (folder / "config.yaml").write_text("run: [unclosed")
    with pytest.raises(ReportError, match=r"config\.yaml is not valid YAML"):
        write_report(folder)


def test_text_that_is_not_utf8_is_named(folder):
    (folder / "data.json").write_bytes(b"\xff\xfe{}")
    with pytest.raises(ReportError, match=r"data\.json is not UTF-8 text"):
        write_report(folder)


def test_missing_and_mistyped_keys_are_named(folder, edit_json):
    edit_json(folder / "config.yaml", lambda config: config["encryption"].pop("scheme"))
    with pytest.raises(ReportError, match=r"config\.yaml: encryption\.scheme"):
        write_report(folder)


def test_key_of_the_wrong_type_is_named(folder, edit_json):
    edit_json(folder / "parts.json", lambda parts: parts["parts"][1].update(parameters="many"))
    with pytest.raises(ReportError, match=r"parts\.json: parts\.1\.parameters"):
        write_report(folder)


def test_unknown_task_is_named(folder, edit_json):
    edit_json(folder / "data.json", lambda data: data.update(task="detection"))
    with pytest.raises(ReportError, match="'detection'"):
        write_report(folder)


def test_torn_last_line_of_metrics_is_left_out_and_said(folder):
    file = folder / "metrics.jsonl"
    file.write_text(file.read_text()[:-40])
    assert [entry.round for entry in read_run(folder).rounds] == [0, 1]
    text = write_report(folder).read_text()
    assert "last line of metrics.jsonl is torn" in text
    assert "rounds that did not finish (2)" in text


def test_ledger_rows_of_unfinished_rounds_are_not_counted(folder):
    file = folder / "metrics.jsonl"
    file.write_text("".join(file.read_text().splitlines(keepends=True)[:2]))
    assert {row.round for row in read_run(folder).ledger} == {-1, 0, 1}


def test_torn_line_inside_metrics_is_an_error(folder):
    file = folder / "metrics.jsonl"
    first, *rest = file.read_text().splitlines(keepends=True)
    file.write_text(first[:30] + "\n" + "".join(rest))
    with pytest.raises(ReportError, match=r"metrics\.jsonl, line 1: not valid JSON"):
        write_report(folder)


def test_last_line_without_newline_but_whole_is_kept(folder):
    file = folder / "metrics.jsonl"
    file.write_text(file.read_text().rstrip("\n"))
    run = read_run(folder)
    assert len(run.rounds) == 3
    assert run.notes == []


def test_run_without_a_finished_round_is_an_error(folder):
    (folder / "metrics.jsonl").write_text('{"round": 0, "train_')
    with pytest.raises(ReportError, match=r"metrics\.jsonl holds no finished round"):
        write_report(folder)


def test_repeated_round_is_an_error(folder):
    file = folder / "metrics.jsonl"
    first = file.read_text().splitlines(keepends=True)[0]
    file.write_text(file.read_text() + first)
    with pytest.raises(ReportError, match="round 0 follows round 2"):
        write_report(folder)


def test_killed_run_without_summary_is_reported_from_its_last_round(folder):
    (folder / "summary.json").unlink()
    text = write_report(folder).read_text()
    assert "did not finish: 3 of the 3 rounds" in text
    last = json.loads((folder / "metrics.jsonl").read_text().splitlines()[-1])
    assert f"{last['evaluation']['mean']['dice']:.3f}" in text[: text.index("What crossed")]


def test_keys_the_page_does_not_know_are_ignored(folder, edit_json):
    edit_json(folder / "parts.json", lambda parts: parts.update(new_key=1))
    edit_json(folder / "config.yaml", lambda config: config.update(future={"a": 1}))
    assert read_run(folder).notes == []
