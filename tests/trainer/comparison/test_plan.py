"""What a comparison is made of, and what is refused in one line before anything runs."""

from __future__ import annotations

from typing import Any

import pytest

from trainer.comparison import defaults
from trainer.comparison.plan import Plan, parse_seeds, parse_variants
from trainer.config import load
from trainer.errors import ConfigError


def plan(methods: str = "dcsfl,local", *variants: str, overrides: tuple[str, ...] = (), seeds: str = "1,2") -> Plan:
    return Plan(parse_variants(methods, variants), parse_seeds(seeds), load((), overrides))


def test_cells_are_every_variant_with_every_seed_seed_by_seed() -> None:
    cells = plan("dcsfl,local", "dcsfl plain: encryption.scheme=plain").cells
    assert [cell.name for cell in cells] == [
        f"{variant}, seed {seed}" for seed in (1, 2) for variant in ("dcsfl", "dcsfl plain", "local")
    ]
    assert [cell.config.encryption.scheme for cell in cells[:3]] == ["rlwe", "plain", "rlwe"]
    assert [cell.config.method.name for cell in cells[:3]] == ["dcsfl", "dcsfl", "local"]
    assert [cell.config.run.seed for cell in cells] == [1, 1, 1, 2, 2, 2]
    assert len({cell.key for cell in cells}) == 6


def test_the_defaults_test_every_claim() -> None:
    found = parse_variants(defaults.METHODS, [defaults.VARIANT])
    assert {"dcsfl", "splitfed-v1", "local", "centralised"} <= {variant.method for variant in found}
    assert ("encryption.scheme=plain",) in [variant.overrides for variant in found if variant.method == "dcsfl"]
    assert len(parse_seeds(defaults.SEEDS)) == 3


def test_a_shared_option_is_left_out_where_a_method_has_no_use_for_it_and_that_is_told() -> None:
    found = plan("dcsfl,local,splitfed-v1", overrides=("method.participation=0.5", "method.correction.mu=1"))
    assert found.left_out == {
        "local": ["method.participation", "method.correction.mu"],
        "splitfed-v1": ["method.correction.mu"],
    }
    configs = {cell.variant.name: cell.config.method for cell in found.cells}
    assert configs["dcsfl"].participation == configs["splitfed-v1"].participation == 0.5
    assert configs["local"].participation == 1.0
    assert configs["splitfed-v1"].correction.mu == 1e-4


def test_the_engine_of_a_run_gets_one_thread_where_it_would_take_all() -> None:
    assert plan().cells[0].config.run.threads == 1
    assert plan(overrides=("run.threads=2",)).cells[0].config.run.threads == 2


def test_a_config_file_of_a_run_serves_though_it_names_a_method_and_a_seed(tmp_path: Any) -> None:
    (tmp_path / "config.yaml").write_text(load((), ("method.name=fedprox", "run.seed=9")).dump())
    found = Plan(parse_variants("local", ()), (1,), load([tmp_path / "config.yaml"]))
    assert (found.cells[0].config.method.name, found.cells[0].config.run.seed) == ("local", 1)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"methods": "dcsfl,fedvag"}, "unknown method.name='fedvag'; did you mean 'fedavg'?"),
        ({"methods": "dcsfl,,local"}, "--methods=dcsfl,,local: an empty entry"),
        ({"methods": "dcsfl,dcsfl"}, "variant dcsfl is there twice"),
        ({"methods": ""}, "a comparison needs one variant at least"),
        ({"seeds": "1,x"}, "--seeds=1,x: seeds are whole numbers"),
        ({"seeds": "1,-2"}, "--seeds=1,-2: seeds are whole numbers"),
        ({"seeds": "1,1"}, "seed 1 is there twice"),
        ({"overrides": ("method.proximal_mu=1",)}, "no method of this comparison has use for method.proximal_mu"),
        ({"overrides": ("federation.backend=flare",)}, "runs all parties of a run in one process"),
        ({"overrides": ("encryption.key_folder=keys",)}, "runs beside each other make keys of their own"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_a_line(arguments: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError) as refused:
        plan(**arguments)
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("variant", "told"),
    [
        ("dcsfl plain", "is not of the form"),
        ("dcsfl plain:", "is not of the form"),
        ("../x: encryption.scheme=plain", "is not of the form"),
        ("nonsense a: encryption.scheme=plain", "unknown method.name='nonsense'"),
        ("dcsfl a: encryption.shceme=plain", "variant 'dcsfl a': unknown config key 'encryption.shceme'"),
        ("dcsfl a: data.clients=3", "changes data.clients, but"),
        ("dcsfl a: run.seed=3", "changes run.seed, but"),
        ("dcsfl a: method.name=local", "changes method.name, but"),
        ("dcsfl a: training.task=restoration", "changes training.task, but"),
        ("local a: method.participation=0.5", "method.name=local has no use for method.participation"),
        ("dcsfl a: 'training.rounds=3", "no closing quotation"),
        ("dcsfl: encryption.scheme=plain", "variant dcsfl is there twice"),
    ],
)
def test_a_variant_that_cannot_be_is_refused_in_a_line(variant: str, told: str) -> None:
    with pytest.raises(ConfigError) as refused:
        plan("dcsfl,local", variant)
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)
