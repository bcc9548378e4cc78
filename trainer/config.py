"""The one configuration of a run: YAML files, then `section.key=value` overrides, validated into frozen models.

Later sources win. Unknown keys are errors that offer the nearest known name. `dump` writes the resolved
configuration back, so that a run folder alone repeats the run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from trainer.config_problems import describe
from trainer.errors import ConfigError
from trainer.yaml12 import load_yaml, yaml_text


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=False, protected_namespaces=(), allow_inf_nan=False)


class RunConfig(_Section):
    """Where a run writes and what makes it repeatable."""

    name: str = Field(
        "demo", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="run folder: FOLDER/NAME/TIMESTAMP"
    )
    folder: Path = Field(Path("runs"), description="parent of all run folders")
    seed: int = Field(42, ge=0, lt=2**63, description="seeds weights, batch order and simulated scanners; never keys")
    threads: int = Field(0, ge=0, description="CPU threads of the encryption engine; 0 means all cores")
    clients_at_once: int = Field(
        0,
        ge=0,
        description="in one process: clients that train at the same time; 0 means as many as have a core each",
    )
    device: str = Field("cpu", description="torch device of clients and compute server, such as cpu or cuda:0")
    tensorboard: bool = Field(False, description="write TensorBoard events (needs dcsfl[tensorboard])")
    examples: int = Field(2, ge=0, description="test images per client drawn in the report")


class DataConfig(_Section):
    """Which images, and how they are laid out over the clients."""

    source: Literal["brain-mri", "folder"] = Field("brain-mri", description="the demo set, or your own folder")
    path: Path | None = Field(None, description="folder source: one sub-folder per site, or one site")
    layout: Literal["auto", "nnunet", "msd", "npz", "dicom", "pairs"] = Field(
        "auto", description="folder: what lies there; auto takes the first that fits, in this order (docs/data.md)"
    )
    image_size: int = Field(96, ge=16, le=1024, description="slices are resampled to this many pixels square")
    depth: int | None = Field(
        None, ge=16, le=1024, description="network.dimensions=3: slices of every volume, cropped or padded to so many"
    )
    clients: int = Field(
        4, ge=1, description="number of simulated hospitals; folder with partition=site: ignored, one per site"
    )
    test_fraction: float = Field(0.25, gt=0, lt=1, description="share of each client's subjects or slices held out")
    gap: int = Field(2, ge=0, description="slices dropped between training and test blocks of one volume")
    heterogeneity: float = Field(
        0.5, ge=0, le=2, description="how far the clients' simulated scanners differ; 0 none"
    )
    max_slices: int | None = Field(None, ge=2, description="at most this many slices (or volumes) a client")
    classes: dict[int, str] | None = Field(
        None, description="folder: mask value -> class name; the data set's own, or found, if not given"
    )
    channel: int = Field(0, ge=0, description="folder: which channel of images that have several")
    structures: tuple[str, ...] | None = Field(
        None, min_length=1, description="dicom: contours (RTSTRUCT) to learn, by name; of overlapping ones, the last"
    )
    spacing: tuple[PositiveFloat, PositiveFloat, PositiveFloat] | None = Field(
        None,
        description="folder: resample volumes to this voxel size, mm, and crop; fit to image_size if not given (2-D)",
    )
    intensity: Literal["zscore", "range", "window", "percentile"] | None = Field(
        None, description="folder: how values are scaled; zscore for segmentation, range for restoration if not given"
    )
    window: tuple[float, float] = Field((-160.0, 240.0), description="intensity=window: lowest and highest value, HU")
    percentiles: tuple[float, float] = Field((0.5, 99.5), description="intensity=percentile: the two, in per cent")
    sites: Path | None = Field(
        None, description="folder: CSV with columns subject and site, and split if there is one"
    )
    site_pattern: str | None = Field(
        None, description="folder: regular expression whose group is the site, searched in each image's name"
    )
    partition: Literal["site", "even", "dirichlet", "quantity"] = Field(
        "site", description="folder: clients are the sites, or simulated: subjects dealt out evenly or skewed"
    )
    concentration: float = Field(
        0.5, gt=0, le=1e6, description="of partition=dirichlet and quantity: small is uneven, large is even"
    )
    min_subjects: int = Field(2, ge=2, description="fewest subjects of a simulated client")
    feature_shift: bool = Field(False, description="folder: a simulated scanner for each client, by heterogeneity")

    @field_validator("window", "percentiles")
    @classmethod
    def _ascending(cls, bounds: tuple[float, float], about: ValidationInfo) -> tuple[float, float]:
        if not bounds[0] < bounds[1]:
            raise ValueError("the first must be smaller than the second")
        if about.field_name == "percentiles" and not 0 <= bounds[0] < bounds[1] <= 100:
            raise ValueError("percentiles lie between 0 and 100")
        return bounds

    @model_validator(mode="after")
    def _voxels_alike(self) -> DataConfig:
        if self.depth is not None and self.spacing is None:
            raise ValueError(
                f"data.depth={self.depth} counts voxels, which must be of one size in all volumes: set data.spacing "
                "(mm right, anterior, superior, such as [1,1,3])"
            )
        if self.feature_shift and self.voxel_mm is not None and self.voxel_mm[1] != self.voxel_mm[2]:
            raise ValueError(
                "data.feature_shift turns slices by right angles, and voxels of data.spacing="
                f"{list(self.spacing or ())} with them: make the first two sides equal, or leave feature_shift out"
            )
        return self

    @property
    def voxel_mm(self) -> tuple[float, float, float] | None:
        """Sides of a voxel of the volumes learnt, in the order of a tensor's axes [D, H, W]: superior, anterior,
        right, `spacing` backwards. None where slices are learnt: fitted to a square, a pixel has no fixed size.
        """
        if self.depth is None or self.spacing is None:
            return None
        right, anterior, superior = self.spacing
        return superior, anterior, right

    @field_validator("site_pattern")
    @classmethod
    def _one_group(cls, pattern: str | None) -> str | None:
        try:
            groups = 1 if pattern is None else re.compile(pattern).groups
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from None
        if groups != 1:
            raise ValueError("needs exactly one group in parentheses, the site, such as '^IXI[0-9]+-([A-Za-z]+)-'")
        return pattern


class NetworkConfig(_Section):
    """The three-part network."""

    name: str = Field("unet", description="unet or residual-unet (both tasks), redcnn (restoration)")
    dimensions: int = Field(
        2, ge=2, le=3, description="unet, residual-unet: 2 for slices, 3 for volumes (with data.depth, data.spacing)"
    )
    features: tuple[int, ...] = Field(
        (16, 24, 32, 48, 64, 16), description="unet, residual-unet: channels per level, then of the last layer"
    )
    client_levels: int = Field(
        2,
        ge=1,
        le=3,
        description="unet, residual-unet: resolution levels that stay with the client, with their skips",
    )
    channels: int = Field(96, ge=1, description="redcnn: channels of every layer")


class TrainingConfig(_Section):
    """The optimisation, the same at every party."""

    task: Literal["segmentation", "restoration"] = Field("segmentation", description="what is learnt")
    loss: Literal["dice-ce", "dice", "cross-entropy", "mse", "l1"] | None = Field(
        None, description="segmentation: dice-ce if not given, dice, cross-entropy; restoration: mse, l1"
    )
    hd95: bool = Field(
        True, description="segmentation: measure HD95 too, in pixels, of volumes in mm; a few ms a slice and class"
    )
    rounds: int = Field(16, ge=1, description="a finished run goes on if resumed with more")
    local_epochs: int = Field(1, ge=1, description="passes over a client's images per round")
    batch_size: int = Field(1, ge=1, description="images per step of a client")
    micro_batches: int = Field(
        1, ge=1, description="parts a batch crosses the cuts in, so that one is worked on while another travels"
    )
    learning_rate: float = Field(1.5e-3, gt=0, description="Adam, one per part (head, body, tail)")
    learning_rate_decay: float = Field(0.95, gt=0, le=1, description="factor from one round to the next; 1 keeps it")
    weight_decay: float = Field(1e-8, ge=0, description="Adam's L2 penalty")
    cut_exchange: Literal["float32", "bfloat16", "int8"] = Field(
        "float32", description="how activations and gradients cross the cuts: int8 has a quarter of the bytes"
    )
    precision: Literal["float32", "bfloat16"] = Field(
        "float32", description="bfloat16: mixed precision, for accelerators that have it; the CPU is slower for it"
    )
    threads: int = Field(1, ge=1, description="CPU threads per torch operation; more pays for large images alone")


class CorrectionConfig(_Section):
    """Dynamic weight correction (DWCS), for method dcsfl."""

    mode: Literal["paper", "released", "closed-form", "ema", "off"] = Field(
        "paper", description="which rule; paper and released take optimiser steps"
    )
    mu: float = Field(1e-4, ge=0, description="weight of the correction loss")
    steps: int = Field(1, ge=1, description="optimiser steps on the correction loss")
    learning_rate: float = Field(1e-4, gt=0, description="of those steps")
    weight_decay: float = Field(1e-8, ge=0, description="of those steps")
    alpha_max: float = Field(0.99, ge=0, le=1, description="largest share of the corrected weights")
    ema: float = Field(0.1, ge=0, lt=1, description="mode ema: weight of the previous round's model")


class MethodConfig(_Section):
    """Which distributed-learning method runs over the parties; an option it does not admit is refused."""

    name: str = Field(
        "dcsfl",
        description="dcsfl, splitfed-v1, splitfed-v2, splitnn, fedavg, fedprox, local or centralised",
    )
    weighting: Literal["uniform", "samples"] = Field(
        "uniform", description="average clients equally, or by sample count"
    )
    proximal_mu: float = Field(0.01, ge=0, description="fedprox: weight of the pull towards the round's first model")
    participation: float = Field(1.0, gt=0, le=1, description="share of the clients asked in a round, seeded choice")
    clients_per_round: int | None = Field(None, ge=1, description="as a number, in place of participation")
    drop_out: float = Field(0.0, ge=0, lt=1, description="chance of a client asked to be absent, simulated by seed")
    min_participants: int = Field(
        2, ge=1, description="a round with fewer clients left is skipped; 1 bares that client's update to the others"
    )
    laplace_scale: float = Field(
        0.0,
        ge=0,
        description="noise on updates (released code: 0.01); no clipping, no accounting, seeded: it protects nothing",
    )
    correction: CorrectionConfig = CorrectionConfig()

    @model_validator(mode="after")
    def _one_way_to_say_how_many(self) -> MethodConfig:
        if self.clients_per_round is not None and self.participation != 1.0:
            raise ValueError("participation and clients_per_round say the same thing twice: leave one of them out")
        return self


class EncryptionConfig(_Section):
    """The engine: scheme, backend, codec."""

    scheme: str = Field("rlwe", description="see `dcsfl-train schemes`; none sends float32 in the clear")
    backend: str | None = Field(None, description="who computes; the scheme's first available backend if not given")
    parameters: dict[str, Any] = Field(
        default_factory=dict,
        description="scheme parameters, such as security_bits=192 for rlwe or modulus_bits=3072 for paillier",
    )
    bits: Annotated[int, Field(ge=2, le=24)] = Field(16, description="bits per quantised value")
    k_max: int = Field(8, ge=1, description="most clients one sum may hold")
    rounding: Literal["nearest", "stochastic"] = Field("nearest", description="to whole quantisation steps")
    verified: bool | None = Field(
        None,
        description="clients verify each sum: dropped, repeated, replayed, altered; where sums are exact if null",
    )
    on_refused: Literal["stop", "continue"] = Field(
        "stop", description="a sum that clients refuse ends the run, or the round is lost and the next goes on"
    )
    key_folder: Path | None = Field(None, description="load public.key and secret.key from here, or make them here")


class FederationConfig(_Section):
    """Where the parties are: all in this process, or each in its own, which NVIDIA FLARE carries."""

    backend: Literal["in-process", "flare"] = Field(
        "in-process", description="flare: a process per party, mutual TLS between them (needs dcsfl[flare])"
    )
    environment: Literal["provisioned", "simulator"] = Field(
        "provisioned",
        description="flare, on one machine: processes with certificates as between hospitals, or FLARE's simulator",
    )
    deadline: float = Field(
        3600.0, gt=0, description="flare: seconds a party may take for its part of a round before it goes on without"
    )
    folder: Path | None = Field(
        None, description="flare: where this site keeps its checkpoints; in its FLARE workspace if not given"
    )
    direct_cuts: bool = Field(
        False, description="flare: activations and gradients over a gRPC stream of their own, same certificates"
    )
    cuts_port: int = Field(0, ge=0, lt=65536, description="where the compute server takes them; any free port if 0")

    @model_validator(mode="after")
    def _direct_cuts_have_certificates(self) -> FederationConfig:
        if self.direct_cuts and self.environment == "simulator":
            raise ValueError("direct_cuts needs certificates, and FLARE's simulator has none: leave one of them out")
        return self


class CheckpointConfig(_Section):
    """Crash-safe state, one folder per party; keys are never in it."""

    every: int = Field(1, ge=1, description="rounds between checkpoints")


class Config(_Section):
    """Everything a run needs; `Config()` is the demo."""

    run: RunConfig = RunConfig()
    data: DataConfig = DataConfig()
    network: NetworkConfig = NetworkConfig()
    training: TrainingConfig = TrainingConfig()
    method: MethodConfig = MethodConfig()
    encryption: EncryptionConfig = EncryptionConfig()
    checkpoint: CheckpointConfig = CheckpointConfig()
    federation: FederationConfig = FederationConfig()

    @model_validator(mode="after")
    def _volumes_for_three_dimensions(self) -> Config:
        depth = self.data.depth
        if self.network.dimensions == 3 and depth is None:
            raise ValueError(
                "network.dimensions=3 trains on volumes, which data.source=folder has: set data.depth (their slices, "
                "such as 32) and data.spacing (mm right, anterior, superior, such as [1,1,3])"
            )
        if self.network.dimensions == 2 and depth is not None:
            raise ValueError(
                f"data.depth={depth} is for volumes: set network.dimensions=3, or leave it out to train on slices"
            )
        return self

    def dump(self) -> str:
        """The resolved configuration as YAML text."""
        return yaml_text(self.model_dump(mode="json"))


def load(files: Sequence[Path] = (), overrides: Sequence[str] = (), *, text: str = "") -> Config:
    """Merge YAML `text`, YAML `files` in order, then `section.key=value` overrides, and validate.

    Raises ConfigError naming the key, the value and the fix.
    """
    tree = _parse_yaml(text, "the configuration received")
    for file in files:
        _merge(tree, _read_yaml(file))
    return _overridden(tree, overrides)


def changed(config: Config, overrides: Sequence[str]) -> Config:
    """`config` with `section.key=value` overrides on top, validated anew. Raises ConfigError as `load` does."""
    return _overridden(config.model_dump(mode="json"), overrides)


def _overridden(tree: dict[str, Any], overrides: Sequence[str]) -> Config:
    for override in overrides:
        _merge(tree, _parse_override(override))
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        raise ConfigError("\n".join(describe(problem, Config) for problem in error.errors())) from None


def _read_yaml(file: Path) -> dict[str, Any]:
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot read config file {file}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"config file {file} is not valid YAML: {error}") from None
    return _parse_yaml(text, f"config file {file}")


def _parse_yaml(text: str, origin: str) -> dict[str, Any]:
    try:
        loaded = load_yaml(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{origin} is not valid YAML: {' '.join(str(error).split())}") from None
    if loaded is None:
        return {}
    if not isinstance(loaded, dict):
        raise ConfigError(f"{origin} must hold sections (a mapping), not a {type(loaded).__name__}")
    return loaded


def _parse_override(override: str) -> dict[str, Any]:
    path, equals, text = override.partition("=")
    if not equals or not path:
        raise ConfigError(f"override {override!r} is not of the form section.key=value, such as training.rounds=20")
    try:
        value: Any = load_yaml(text) if text else ""
    except yaml.YAMLError:
        raise ConfigError(f"the value of override {override!r} is not valid YAML") from None
    for key in reversed(path.split(".")):
        value = {key: value}
    return value


def _merge(tree: dict[str, Any], later: Mapping[str, Any]) -> None:
    for key, value in later.items():
        # An empty mapping replaces: it is the only way to take back an earlier file's encryption.parameters.
        if isinstance(value, Mapping) and value and isinstance(tree.get(key), dict):
            _merge(tree[key], value)
        else:
            tree[key] = dict(value) if isinstance(value, Mapping) else value
