"""What is compared: variants of methods, each with every seed, on one configuration that they share."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from trainer.comparison import defaults
from trainer.config import Config, changed
from trainer.errors import ConfigError
from trainer.methods import method_for
from trainer.methods.options import check_options, foreign_options

VARIABLE = ("method", "encryption", "network", "training")
"""Sections that a variant may change: the others say what the data are and how runs are kept."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*(?: [A-Za-z0-9._+-]+)*")


@dataclass(frozen=True)
class Variant:
    """A column of the comparison: a method, with overrides of its own where it has any."""

    name: str
    method: str
    overrides: tuple[str, ...] = ()

    @property
    def folder_name(self) -> str:
        return self.name.replace(" ", "-")

    @property
    def communicates(self) -> bool:
        """Whether its training needs messages between parties."""
        return method_for(self.method).federates


@dataclass(frozen=True)
class Cell:
    """One run of the comparison."""

    variant: Variant
    seed: int
    config: Config

    @property
    def name(self) -> str:
        return f"{self.variant.name}, seed {self.seed}"

    @property
    def key(self) -> str:
        """Its place below the folder of all cells."""
        return f"{self.variant.folder_name}/seed-{self.seed}"


@dataclass(frozen=True)
class Plan:
    """Variants and seeds over a shared configuration. A plan that exists is valid; raises ConfigError.

    Options of the method section that a method does not admit are left out for that method, and `left_out` tells
    them; a variant's own are refused, and so is a shared one that no variant admits.
    """

    variants: tuple[Variant, ...]
    seeds: tuple[int, ...]
    shared: Config

    def __post_init__(self) -> None:
        _refuse_repeated("variant", [variant.folder_name for variant in self.variants])
        _refuse_repeated("seed", self.seeds)
        if self.shared.encryption.key_folder is not None:
            raise ConfigError(
                f"encryption.key_folder={self.shared.encryption.key_folder}: runs beside each other make keys of "
                "their own; leave it out"
            )
        if self.shared.federation.backend != "in-process":
            raise ConfigError(
                f"federation.backend={self.shared.federation.backend}: a comparison runs all parties of a run in one "
                "process; leave it out"
            )
        for variant in self.variants:
            _check_overrides(variant)
        unused = set.intersection(*(set(options) for options in self._foreign.values()))
        if unused:
            raise ConfigError(
                f"no method of this comparison has use for {', '.join(sorted(unused))}: leave it out, or add a "
                "method that has"
            )

    @cached_property
    def _foreign(self) -> dict[str, list[str]]:
        return {
            variant.name: foreign_options(method_for(variant.method), self._with_foreign(variant))
            for variant in self.variants
        }

    @property
    def left_out(self) -> dict[str, list[str]]:
        """Variant -> shared options that it does without, of those that do without any."""
        return {name: options for name, options in self._foreign.items() if options}

    @cached_property
    def cells(self) -> tuple[Cell, ...]:
        """Seed by seed, so that what is there early can be compared."""
        return tuple(
            Cell(variant, seed, self.config(variant, seed)) for seed in self.seeds for variant in self.variants
        )

    def config(self, variant: Variant, seed: int) -> Config:
        """The configuration of one cell."""
        run = self.shared.run
        each = [f"run.threads={run.threads or 1}", f"run.clients_at_once={run.clients_at_once or 1}"]
        config = changed(self._with_foreign(variant), [f"run.seed={seed}", *each])
        for section, key in map(_place, self._foreign[variant.name]):
            default = getattr(getattr(Config(), section), key)
            without = getattr(config, section).model_copy(update={key: default})
            config = config.model_copy(update={section: without})
        return config

    def _with_foreign(self, variant: Variant) -> Config:
        return changed(self.shared, [f"method.name={variant.method}", *variant.overrides])


def parse_variants(methods: str, variants: Sequence[str]) -> tuple[Variant, ...]:
    """The plain methods of a comma-separated list, each followed by its variants `METHOD LABEL: KEY=VALUE ...`."""
    plain = [Variant(name, name) for name in _listed(methods, "--methods", defaults.METHODS)]
    varied = [_parse_variant(text) for text in variants]
    for variant in (*plain, *varied):
        method_for(variant.method)
    order = list(dict.fromkeys(variant.method for variant in (*plain, *varied)))
    return tuple(sorted((*plain, *varied), key=lambda variant: order.index(variant.method)))


def parse_seeds(seeds: str) -> tuple[int, ...]:
    """A comma-separated list of seeds. Raises ConfigError."""
    listed = _listed(seeds, "--seeds", defaults.SEEDS)
    if not all(text.isascii() and text.isdigit() and int(text) < 2**63 for text in listed):
        raise ConfigError(f"--seeds={seeds}: seeds are whole numbers from 0 up, such as --seeds={defaults.SEEDS}")
    return tuple(int(text) for text in listed)


def refuse_reserved(overrides: Iterable[str]) -> None:
    """Raise ConfigError for overrides of what the comparison sets itself."""
    for override in overrides:
        key = override.partition("=")[0]
        if key in ("method.name", "run.seed"):
            option = "--methods" if key == "method.name" else "--seeds"
            raise ConfigError(f"{override}: a comparison has several of these; name them with {option}")


def _parse_variant(text: str) -> Variant:
    name, colon, settings = text.partition(":")
    try:
        overrides = tuple(shlex.split(settings))
    except ValueError as error:
        raise ConfigError(f"--variant {text!r}: {str(error).lower()}") from None
    if not colon or not overrides or not _NAME.fullmatch(name):
        raise ConfigError(
            f'--variant {text!r} is not of the form "METHOD LABEL: SECTION.KEY=VALUE ...", '
            f'such as "{defaults.VARIANT}"'
        )
    return Variant(name, name.split(" ")[0], overrides)


def _check_overrides(variant: Variant) -> None:
    for override in variant.overrides:
        section, _, key = override.partition("=")[0].partition(".")
        if section not in VARIABLE or (section, key) in (("method", "name"), ("training", "task")):
            raise ConfigError(
                f"variant {variant.name!r} changes {section}.{key}, but a variant is a method's, named by the first "
                f"word, and all are trained on the same data: it may change {', '.join(VARIABLE)} alone"
            )
    try:
        alone = changed(Config(), [f"method.name={variant.method}", *variant.overrides])
        check_options(method_for(variant.method), alone)
    except ConfigError as error:
        raise ConfigError(f"variant {variant.name!r}: {error}") from None


def _place(option: str) -> tuple[str, str]:
    """`method.drop_out` -> `method`, `drop_out`; `method.correction.mu` -> `method`, `correction`."""
    section, key, *_ = option.split(".")
    return section, key


def _listed(text: str, option: str, example: str) -> list[str]:
    listed = [part.strip() for part in text.split(",")] if text else []
    if not all(listed):
        raise ConfigError(f"{option}={text}: an empty entry; a list is such as {option}={example}")
    return listed


def _refuse_repeated(what: str, values: Sequence[object]) -> None:
    if not values:
        raise ConfigError(f"a comparison needs one {what} at least")
    repeated = sorted({str(value) for value in values if values.count(value) > 1})
    if repeated:
        raise ConfigError(f"{what} {', '.join(repeated)} is there twice: each may be there once")
