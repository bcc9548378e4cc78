"""What is wrong with a configuration, in words: key, value and fix, and the known key that may be meant."""

from __future__ import annotations

import difflib
from typing import Any

from pydantic import BaseModel


def describe(problem: Any, model: type[BaseModel]) -> str:
    """One line on `problem`, one of the errors that pydantic lists of a `model` that could not be made."""
    path = [str(part) for part in problem["loc"]]
    dotted = ".".join(path)
    if problem["type"] == "extra_forbidden":
        nearest = _nearest(path, model)
        return f"unknown config key {dotted!r}" + (f"; did you mean {nearest!r}?" if nearest else "")
    message = str(problem["msg"]).removeprefix("Value error, ")
    if isinstance(problem["input"], dict) and problem["type"] == "value_error":
        return f"config section {dotted}: {message}" if dotted else message
    return f"config value {dotted}={problem['input']!r}: {message}"


def dotted_keys(model: type[BaseModel], prefix: str = "") -> list[str]:
    """Every key of `model` and its sections as `section.key`, sections included."""
    keys = []
    for name, field in model.model_fields.items():
        keys.append(prefix + name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            keys += dotted_keys(field.annotation, prefix + name + ".")
    return keys


def _nearest(path: list[str], model: type[BaseModel]) -> str | None:
    """The known dotted key closest to `path`: the same name elsewhere, else in the same section, else anywhere."""
    known = dotted_keys(model)
    for key in known:
        if key.rpartition(".")[2] == path[-1]:
            return key
    section = ".".join(path[:-1])
    siblings = {key.rpartition(".")[2]: key for key in known if key.rpartition(".")[0] == section}
    close = difflib.get_close_matches(path[-1], siblings, n=1)
    if close:
        return siblings[close[0]]
    leaves = {key.rpartition(".")[2]: key for key in known}
    close = difflib.get_close_matches(path[-1], leaves, n=1)
    return leaves[close[0]] if close else None
