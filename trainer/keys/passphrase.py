"""Where a passphrase comes from: a prompt, a file or the environment; never the command line, which others see."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from trainer.errors import ConfigError
from trainer.parties.keys import PASSPHRASE_VARIABLE


def passphrase_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --ask-passphrase and --passphrase-file."""
    asked = click.option("--ask-passphrase", is_flag=True, help="Ask for the passphrase of the secret file.")
    file = click.option(
        "--passphrase-file",
        type=click.Path(path_type=Path, dir_okay=False),
        help=f"Its first line is the passphrase. With neither: ${PASSPHRASE_VARIABLE}, or none.",
    )
    return asked(file(command))


def passphrase(ask: bool, file: Path | None, *, new: bool) -> str | None:
    """The passphrase, None for none. new: ask twice. Raises ConfigError."""
    if ask:
        return str(click.prompt("passphrase", hide_input=True, confirmation_prompt=new, err=True))
    if file is None:
        return os.environ.get(PASSPHRASE_VARIABLE)
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--passphrase-file={file} cannot be read: {error}") from None
    if not lines:
        raise ConfigError(f"--passphrase-file={file} is empty")
    return lines[0]
