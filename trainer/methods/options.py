"""Which options a method admits; what makes no sense with it is refused, not ignored."""

from __future__ import annotations

from trainer.config import Config, CorrectionConfig, MethodConfig, TrainingConfig
from trainer.errors import ConfigError
from trainer.methods.base import Method


def foreign_options(method: Method, whole: Config) -> list[str]:
    """The keys that `whole` changes from their defaults though `method` does not admit them, as `SECTION.KEY`.

    A correction that is off asks for nothing, so every method admits that. Micro-batches are for methods whose
    batches cross cuts.
    """
    config, default = whole.method, MethodConfig()
    foreign = [
        f"method.{key}"
        for key, value in config
        if key not in (*method.options, "name", "correction") and value != getattr(default, key)
    ]
    if "correction" not in method.options and config.correction.mode != "off":
        changed = [key for key, value in config.correction if value != getattr(CorrectionConfig(), key)]
        foreign += [f"method.correction.{key}" for key in changed]
    crosses = method.arrangement(config).body != "clients"
    if not crosses and whole.training.micro_batches != TrainingConfig().micro_batches:
        foreign.append("training.micro_batches")
    return foreign


def check_options(method: Method, config: Config) -> None:
    """Raise ConfigError naming all foreign options and what the method admits."""
    foreign = foreign_options(method, config)
    if foreign:
        admitted = ", ".join(sorted(method.options)) or "none"
        raise ConfigError(
            f"method.name={method.name} has no use for {', '.join(foreign)}: leave it out, or choose another method "
            f"(options of {method.name}: {admitted})"
        )


def check_federates(method: Method) -> None:
    """Raise ConfigError where a method cannot run with every hospital's images at the hospital."""
    if not method.federates:
        raise ConfigError(
            f"method.name={method.name} judges models on other hospitals' images, or trains on them: it cannot run "
            "where images stay. Run it with federation.backend=in-process"
        )
