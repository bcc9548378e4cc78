"""Which keys of the `method` section a method admits; what makes no sense with it is refused, not ignored."""

from __future__ import annotations

from trainer.config import CorrectionConfig, MethodConfig
from trainer.errors import ConfigError
from trainer.methods.base import Method


def foreign_options(method: Method, config: MethodConfig) -> list[str]:
    """The keys that `config` changes from their defaults though `method` does not admit them, as `method.KEY`.

    A correction that is off asks for nothing, so every method admits that.
    """
    default = MethodConfig()
    foreign = [
        f"method.{key}"
        for key, value in config
        if key not in (*method.options, "name", "correction") and value != getattr(default, key)
    ]
    if "correction" not in method.options and config.correction.mode != "off":
        changed = [key for key, value in config.correction if value != getattr(CorrectionConfig(), key)]
        foreign += [f"method.correction.{key}" for key in changed]
    return foreign


def check_options(method: Method, config: MethodConfig) -> None:
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
