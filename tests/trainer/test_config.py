"""The configuration: what wins, what is refused and with which words, and that it reads back as it was written."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from trainer.config import Config, load
from trainer.config_problems import dotted_keys
from trainer.errors import ConfigError
from trainer.explain import explain

UNUSUAL = (
    "run.name=2026-01-31",
    "run.folder=some runs/été #1",
    "run.device=cuda:0",
    "data.source=folder",
    "data.path='off'",
    "data.max_slices=7",
    "data.classes={0: nothing, 128: 'yes', 255: 'grey: matter # 2'}",
    "network.features=[8,8,16,16,16,8]",
    "training.weight_decay=0",
    "training.learning_rate=1e-5",
    "method.correction.mode=off",
    "encryption.parameters={modulus_bits: 2048, nested: {a: 1e-3, b: [1, two]}}",
    "encryption.key_folder=~/keys",
)


def _written(tmp_path: Path, text: str, name: str = "a.yaml") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


# --- precedence ---------------------------------------------------------------------------------------------


def test_no_files_and_no_overrides_are_the_demo() -> None:
    assert load() == Config()


def test_later_files_win_over_earlier_and_overrides_over_all(tmp_path: Path) -> None:
    first = _written(tmp_path, "training: {rounds: 3, batch_size: 2, local_epochs: 5}\nrun: {seed: 1}\n", "a.yaml")
    second = _written(tmp_path, "training:\n  rounds: 4\n  batch_size: 7\n", "b.yaml")
    config = load([first, second], ["training.batch_size=9", "training.batch_size=8"])
    assert (config.training.local_epochs, config.training.rounds, config.training.batch_size) == (5, 4, 8)
    assert config.run.seed == 1


def test_mappings_are_merged_and_an_empty_one_takes_back(tmp_path: Path) -> None:
    file = _written(tmp_path, "encryption: {parameters: {modulus_bits: 2048}}\n")
    assert load([file], ["encryption.parameters.other=1"]).encryption.parameters == {"modulus_bits": 2048, "other": 1}
    assert load([file], ["encryption.parameters={}"]).encryption.parameters == {}


@pytest.mark.parametrize("text", ["", "# nothing\n", "training: {}\n"])
def test_a_file_that_says_nothing_changes_nothing(text: str, tmp_path: Path) -> None:
    assert load([_written(tmp_path, text)]) == Config()


# --- values as people type them --------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["1e-4", "1E-4", "1.0e-4", "0.0001", ".0001"])
def test_small_numbers_are_read_in_every_notation(text: str, tmp_path: Path) -> None:
    assert load((), [f"training.learning_rate={text}"]).training.learning_rate == 1e-4
    file = _written(tmp_path, f"training:\n  learning_rate: {text}\nencryption:\n  parameters: {{x: {text}}}\n")
    assert load([file]).training.learning_rate == 1e-4
    assert load([file]).encryption.parameters == {"x": 1e-4}


def test_null_lists_mappings_and_words_are_read_from_overrides() -> None:
    config = load((), ["data.max_slices=5", "data.max_slices=null", *UNUSUAL[6:8], "method.correction.mode=off"])
    assert config.data.max_slices is None
    assert config.data.classes == {0: "nothing", 128: "yes", 255: "grey: matter # 2"}
    assert config.network.features == (8, 8, 16, 16, 16, 8)
    assert config.method.correction.mode == "off"


def test_an_override_may_hold_equals_signs() -> None:
    assert load((), ["data.path=a=b"]).data.path == Path("a=b")


# --- reading back -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("overrides", [(), UNUSUAL], ids=["demo", "unusual"])
@pytest.mark.parametrize("written", [Config.dump, explain], ids=["run folder", "print-config"])
def test_what_is_written_reads_back_as_the_same(written: object, overrides: tuple[str, ...], tmp_path: Path) -> None:
    config = load((), overrides)
    assert load([_written(tmp_path, written(config))]) == config  # type: ignore[operator]


@pytest.mark.parametrize("name", ["1e4", "1.5", "true", "on", "2026-01-31", "0x10"])
def test_names_that_look_like_other_things_read_back_as_text(name: str, tmp_path: Path) -> None:
    config = load((), [f"run.name='{name}'"])
    assert config.run.name == name
    assert load([_written(tmp_path, config.dump())]) == config
    assert yaml.safe_load(config.dump())["run"]["name"] == name


def test_print_config_explains_every_key() -> None:
    lines = [line for line in explain(Config()).splitlines() if ":" in line]
    assert len(lines) == len(dotted_keys(Config))
    assert [line for line in lines if "  # " not in line] == []


# --- refusals ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "training.learning_rat=1",
            "unknown config key 'training.learning_rat'; did you mean 'training.learning_rate'?",
        ),
        ("trainning.rounds=1", "unknown config key 'trainning'; did you mean 'training'?"),
        ("learning_rate=5", "unknown config key 'learning_rate'; did you mean 'training.learning_rate'?"),
        ("rounds=5", "unknown config key 'rounds'; did you mean 'training.rounds'?"),
        ("training.bits=5", "unknown config key 'training.bits'; did you mean 'encryption.bits'?"),
        ("method.correction.alpha=1", "'method.correction.alpha'; did you mean 'method.correction.alpha_max'?"),
        ("training.zzzzzz=1", "unknown config key 'training.zzzzzz'"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_name(override: str, message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load((), [override])
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("training.rounds=many", ("training.rounds='many'", "valid integer")),
        ("training.rounds=0", ("training.rounds=0", "greater than or equal to 1")),
        ("training.rounds=1.5", ("training.rounds=1.5", "integer")),
        ("training.rounds=", ("training.rounds=''", "integer")),
        ("training.rounds=null", ("training.rounds=None", "integer")),
        ("training.learning_rate=-1", ("training.learning_rate=-1", "greater than 0")),
        ("training.learning_rate=.inf", ("training.learning_rate=inf", "finite")),
        ("training.weight_decay=.nan", ("training.weight_decay=nan", "finite")),
        ("data.test_fraction=1", ("data.test_fraction=1", "less than 1")),
        ("data.source=nowhere", ("data.source='nowhere'", "'brain-mri' or 'folder'")),
        ("training.task=classification", ("training.task='classification'", "'segmentation' or 'restoration'")),
        ("network.features=8", ("network.features=8", "tuple")),
        ("network.features=[8,x]", ("network.features.1='x'", "integer")),
        ("encryption.bits=40", ("encryption.bits=40", "less than or equal to 24")),
        ("run.name=../elsewhere", ("run.name='../elsewhere'", "pattern")),
        ("run.seed=-1", ("run.seed=-1", "greater than or equal to 0")),
        ("training=5", ("training=5", "dictionary")),
        ("data.classes={a: b}", ("data.classes.a", "integer")),
    ],
)
def test_a_value_of_the_wrong_kind_or_range_is_refused_naming_key_and_value(
    override: str, words: tuple[str, ...]
) -> None:
    with pytest.raises(ConfigError) as refused:
        load((), [override])
    for word in words:
        assert word in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (("network.dimensions=3",), "network.dimensions=3 trains on volumes, .*: set data.depth .* and data.spacing"),
        (("network.dimensions=3", "data.depth=16"), "data.depth=16 counts voxels, .*: set data.spacing"),
        (
            ("data.depth=16", "data.spacing=[1,1,1]"),
            "data.depth=16 is for volumes: set network.dimensions=3, or leave",
        ),
        (
            (*("network.dimensions=3", "data.depth=16"), "data.spacing=[1,2,3]", "data.feature_shift=true"),
            r"data.feature_shift turns slices by right angles, and voxels of data.spacing=\[1.0, 2.0, 3.0\] with "
            "them: make the first two sides equal",
        ),
        (("network.dimensions=3", "data.depth=8"), "config value data.depth=8: .* greater than or equal to 16"),
    ],
)
def test_dimensions_depth_and_spacing_that_do_not_fit_together_are_refused_by_name(
    overrides: tuple[str, ...], words: str
) -> None:
    with pytest.raises(ConfigError, match=words) as refused:
        load((), overrides)
    assert "\n" not in str(refused.value)


def test_all_wrong_keys_are_named_at_once() -> None:
    with pytest.raises(ConfigError) as refused:
        load((), ["training.rounds=0", "data.clients=0", "run.nam=x"])
    assert len(str(refused.value).splitlines()) == 3


@pytest.mark.parametrize("override", ["training.rounds", "=5", "", "training.rounds:5"])
def test_an_override_without_key_and_equals_sign_is_refused_with_an_example(override: str) -> None:
    with pytest.raises(ConfigError, match=r"not of the form section\.key=value, such as training\.rounds=20"):
        load((), [override])


def test_an_override_whose_value_is_broken_yaml_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"value of override 'network.features=\[8,' is not valid YAML"):
        load((), ["network.features=[8,"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"training: [1, 2\nrun: {", "is not valid YAML"),
        (b"training:\n\trounds: 3\n", "is not valid YAML"),
        (b"- 1\n- 2\n", "must hold sections (a mapping), not a list"),
        (b"5\n", "must hold sections (a mapping), not a int"),
        (b"\xff\xfe\x00\x01", "is not valid YAML"),
        (b"a: !!python/object/apply:os.system ['true']\n", "is not valid YAML"),
    ],
    ids=["torn", "tab", "list", "number", "binary", "code"],
)
def test_a_broken_file_is_refused_by_name(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(content)
    with pytest.raises(ConfigError) as refused:
        load([tmp_path / "a.yaml"])
    assert str(tmp_path / "a.yaml") in str(refused.value)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(("name", "reason"), [("missing.yaml", "No such file"), (".", "Is a directory")])
def test_a_file_that_cannot_be_read_is_refused_by_name(name: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"cannot read config file .*: {reason}"):
        load([tmp_path / name])


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("method.participation=0.5", "method.clients_per_round=2"), "config section method: participation and"),
        (
            ("federation.direct_cuts=true", "federation.environment=simulator"),
            "config section federation: direct_cuts needs certificates",
        ),
    ],
)
def test_keys_that_do_not_go_together_are_named_by_their_section(overrides: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load((), overrides)
