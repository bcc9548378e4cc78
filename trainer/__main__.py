"""`dcsfl-train`, and `python -m trainer`: says what to install where the trainer's libraries are missing.

The package itself imports without them: what other frameworks take
from `trainer.federation` needs the engine alone.
"""

from importlib.util import find_spec


def main(name: str | None = None) -> None:
    """Run the command line; `name` is what its help calls it, if not how it was called. Raises SystemExit."""
    if find_spec("torch") is None:
        raise SystemExit("dcsfl-train needs more than the engine: pip install 'dcsfl[train]'")
    from trainer.allocation import keep_freed_memory
    from trainer.cli import main as command

    keep_freed_memory()
    command(prog_name=name)


if __name__ == "__main__":
    main()
