"""`--print-config`: the configuration as YAML that loads again, with each key's meaning beside it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from trainer.config import Config
from trainer.yaml12 import yaml_text


def explain(config: Config) -> str:
    """The resolved configuration as commented YAML text; `--config` reads it back to the same configuration."""
    return "\n".join(_lines(config, "")) + "\n"


def _lines(section: BaseModel, indent: str) -> Iterator[str]:
    plain = section.model_dump(mode="json")
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if isinstance(value, BaseModel):
            yield f"{indent}{name}:  # {(value.__doc__ or '').splitlines()[0]}"
            yield from _lines(value, indent + "  ")
            continue
        meaning = _meaning(field)
        yield f"{indent}{name}: {_one_line(plain[name])}" + (f"  # {meaning}" if meaning else "")


def _one_line(value: Any) -> str:
    # In braces or brackets, so that a mapping stays on its key's line; a number or text alone needs none.
    text = yaml_text({"value": value}, flow=True).strip()
    return text.removeprefix("{value: ").removesuffix("}")


def _meaning(field: FieldInfo) -> str:
    choices = "one of " + ", ".join(get_args(field.annotation)) if get_origin(field.annotation) is Literal else ""
    return "; ".join(part for part in (field.description, choices) if part)
