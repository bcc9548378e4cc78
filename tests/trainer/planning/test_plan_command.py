"""`dcsfl-train plan`: what it prints, that what it recommends runs, and how it refuses."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import he_core
from trainer.config import load
from trainer.planning.show import progress_bar, seconds

QUICK = ("plan", "--values", "1000")
TAG = 4  # fields of a verified message at 16 bits


@pytest.fixture(scope="module")
def whole_plan() -> dict[str, Any]:
    """The plan of every scheme of the registry, by the command in a process of its own; and what that imported."""
    script = """
import sys
from trainer.cli import main

main(["plan", "--values", "1000", "--format", "json"], standalone_mode=False)
print("torch" in sys.modules)
"""
    process = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    assert process.stderr == ""
    plan, imports_torch = process.stdout.splitlines()
    return json.loads(plan) | {"imports_torch": json.loads(imports_torch.lower())}


def test_help_teaches_by_examples_that_load(cli: Any) -> None:
    result = cli("plan", "--help")
    assert result.exit_code == 0
    examples = re.findall(r"^ +dcsfl-train plan(.*)$", result.stdout, re.MULTILINE)
    assert len(examples) >= 3
    for example in examples:
        load((), [word for word in example.split() if "=" in word])
    for option in ("--values", "--clients", "--bits", "--bandwidth", "--trust", "--security", "--precision"):
        assert option in result.stdout


def test_every_scheme_and_backend_has_its_row(whole_plan: dict[str, Any]) -> None:
    statuses = he_core.registry.default().statuses()
    rows = {(row["scheme"], row["backend"]): row for row in whole_plan["candidates"]}
    assert list(rows) == [(status.scheme, status.backend) for status in statuses]
    for status in statuses:
        row = rows[status.scheme, status.backend]
        assert (row["prediction"] is None) == (status.obstacle is not None)
        if row["prediction"] is None:
            assert status.obstacle in row["ruled_out"][0]
        else:
            figures = {
                name: value for name, value in row["prediction"].items() if name not in ("is_bound", "setup_seconds")
            }
            assert all(value > 0 for value in figures.values())


def test_the_recommended_is_the_fastest_that_is_not_ruled_out(whole_plan: dict[str, Any]) -> None:
    fitting = [row for row in whole_plan["candidates"] if not row["ruled_out"]]
    fastest = min(row["prediction"]["total_seconds"] for row in fitting)
    (chosen,) = (
        row for row in fitting if {"scheme": row["scheme"], "backend": row["backend"]} == whole_plan["recommended"]
    )
    assert chosen["prediction"]["total_seconds"] <= 1.05 * fastest
    assert chosen["trust"] == "shared-key"
    assert whole_plan["why"].startswith(f"{chosen['scheme']} on {chosen['backend']} takes")


def test_what_it_recommends_to_set_is_a_configuration(whole_plan: dict[str, Any]) -> None:
    encryption = load((), whole_plan["overrides"]).encryption
    assert whole_plan["recommended"] == {"scheme": encryption.scheme, "backend": encryption.backend}
    he_core.create(encryption.scheme, encryption.backend, encryption.parameters)


def test_a_plan_of_so_many_values_does_not_wait_for_torch(whole_plan: dict[str, Any]) -> None:
    assert not whole_plan["imports_torch"]


@pytest.mark.usefixtures("quick_registry")
def test_the_tables_hold_what_the_object_holds(cli: Any) -> None:
    result = cli(*QUICK, "--clients", "5", "--bandwidth", "8 Mbit/s")
    assert result.exit_code == 0
    assert result.stderr == ""
    size = he_core.frame.frame_bytes(he_core.create("plain").payload_bytes(he_core.CodecShape(16, 8, 1_000 + TAG)))
    assert "5 clients, 1,000 values each, 16 bits a value, lines of 8 Mbit/s" in result.stdout
    assert re.search(rf"│ plain, numpy +│.*│ +{size:,} │", result.stdout)
    assert re.search(r"│ plain, numpy .*│ none +│ none +│.*│ ruled out: trust none, wanted shared-key", result.stdout)
    assert re.search(r"│ rlwe, .*│ shared-key │ 128 bits │.*│ recommended", result.stdout)
    assert "recommended: rlwe on" in result.stdout
    assert "set encryption.scheme=rlwe" in result.stdout


@pytest.mark.usefixtures("quick_registry")
def test_without_a_wish_for_trust_what_is_in_the_clear_is_a_choice(cli: Any) -> None:
    plan = json.loads(cli(*QUICK, "--trust", "none", "--format", "json").stdout)
    assert all(not row["ruled_out"] for row in plan["candidates"])
    assert plan["recommended"]["scheme"] in ("plain", "none")


@pytest.mark.usefixtures("quick_registry")
def test_wishes_reach_parameters_and_verdicts(cli: Any) -> None:
    arguments = ("--bits", "20", "--precision", "2e-6", "--security", "192", "--clients", "16", "--format", "json")
    plan = json.loads(cli(*QUICK, *arguments).stdout)
    assert plan["wishes"] == {"trust": "shared-key", "security_bits": 192, "mean_error": 2e-6}
    assert (plan["workload"]["bits"], plan["workload"]["k_max"], plan["workload"]["clients"]) == (20, 16, 16)
    assert plan["recommended"]["scheme"] == "rlwe"
    encryption = load((), plan["overrides"]).encryption
    assert (encryption.bits, encryption.k_max, encryption.parameters) == (20, 16, {"security_bits": 192})


@pytest.mark.usefixtures("quick_registry")
@pytest.mark.parametrize(
    ("wish", "why"),
    [
        (
            ("--trust", "threshold"),
            "no scheme that runs here offers --trust threshold; the most is --trust shared-key",
        ),
        (("--security", "512"), "no scheme that runs here offers --security 512; the most is 128"),
        (("--precision", "1e-12"), "no scheme that runs here offers --precision 1.0e-12 with 16 bits"),
        (("--precision", "1e-6"), "no scheme that runs here fulfils every wish at once"),
    ],
)
def test_where_none_fulfils_a_wish_the_plan_is_shown_and_fails(wish: tuple[str, str], why: str, cli: Any) -> None:
    for form in ("text", "json"):
        result = cli(*QUICK, *wish, "--format", form)
        assert result.exit_code == 1
        assert f"error: {why}" in result.stderr
        assert "rlwe" in result.stdout
    plan = json.loads(result.stdout)
    assert plan["recommended"] is None
    assert plan["overrides"] == []
    assert why in plan["why"]


@pytest.mark.usefixtures("quick_registry")
def test_the_configured_networks_weights_are_what_a_run_encrypts(
    cli: Any, quick: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "site.yaml").write_text("encryption: {bits: 12, k_max: 4}\n")
    configured = ("--config", tmp_path / "site.yaml", *quick)
    parts = json.loads(cli("run", "--dry-run", "--format", "json", *configured).stdout)
    plan = json.loads(cli("plan", "--format", "json", *configured).stdout)
    assert plan["workload"]["values"] == parts["encrypted_values"]
    assert (plan["workload"]["clients"], plan["workload"]["bits"], plan["workload"]["k_max"]) == (2, 12, 4)
    plain = next(row for row in plan["candidates"] if row["scheme"] == "plain")
    assert plain["prediction"]["upload_bytes"] == parts["ciphertext_bytes"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--bandwidth", "100 Mb/s"), "--bandwidth='100 Mb/s': unknown unit 'Mb/s'"),
        (("--values", "many"), "--values='many': write a whole number"),
        (("--precision", "0"), "--precision=0.0: must be above 0"),
        (("--precision", "nan"), "--precision=nan: must be above 0"),
        (("--bits", "30"), "config value encryption.bits=30"),
        (
            ("--bits", "24", "--clients", "1000"),
            "k_max=1000: with bits=24 a field takes 34 bits, over 32; lower either",
        ),
        (("encryption.parameters.failure_bit=70",), "did you mean 'failure_bits'?"),
        (("encryption.parameters.failure_bits=7",), "failure_bits=7: must be in [64, 128]"),
    ],
)
@pytest.mark.usefixtures("quick_registry")
def test_a_wrong_value_ends_in_a_line_that_names_it_and_the_fix(
    arguments: tuple[str, ...], message: str, cli: Any
) -> None:
    result = cli(*QUICK, *arguments)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert message in result.stderr


def test_a_terminal_gets_a_bar_that_names_who_is_measured_and_anything_else_nothing() -> None:
    for is_terminal in (True, False):
        out = io.StringIO()
        with progress_bar(Console(file=out, force_terminal=is_terminal, width=100)) as report:
            report("rlwe on native", 0.5)
        assert ("measuring rlwe on native" in out.getvalue()) == is_terminal
        assert (out.getvalue() == "") == (not is_terminal)


def test_a_method_that_averages_nothing_cannot_be_planned(cli: Any, quick: tuple[str, ...]) -> None:
    result = cli("plan", *quick, "method.name=local")
    assert result.exit_code == 1
    assert "method.name=local averages nothing" in result.stderr


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (2.5e-5, "25 us"),
        (0.00291, "2.91 ms"),
        (0.291, "291 ms"),
        (1.0, "1 s"),
        (32.44, "32.4 s"),
        (1234.5, "1,234 s"),
    ],
)
def test_seconds_have_three_digits_and_a_unit(value: float, text: str) -> None:
    assert seconds(value) == text
