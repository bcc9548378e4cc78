"""One command: what each scheme costs on this machine, beside every peer that is installed.

python bench/run.py              short: minutes; the fastest kernels only
python bench/run.py --full       every target of the C kernels, every stage, other bit widths, threads

Writes NAME.json, NAME.md, NAME.html (one page that needs no network) and NAME-*.png into --into. Each part runs in a
pytest of its own, held to its target; a peer that fails takes nothing else with it and is told under "left out".
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import machine
import page
import plots
import resultfile
import tables

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "bench" / "results"
OURS = ("bench_rounds.py", "bench_growth.py")
OTHERS = "gmpy2 or numba or openfhe"  # backends whose work does not change with the target of our kernels
SHORT, FULL = "short", "full"
PARAMETERS = {
    "values": "uniform in [-0.05, 0.05), float32; 16-bit codes where nothing else is said, 8 clients at most",
    "threads": "one, the process held to one processor, but for the groups named after threads",
    "figures": "median, least and most of five repetitions or more, three where one takes long; errors are of a mean",
}


@dataclass(frozen=True)
class Part:
    """Benchmarks that share a process. selection, names: pytest's -m and -k. needed: the whole fails with them."""

    files: tuple[str, ...]
    target: str
    selection: str = ""
    names: str = ""
    needed: bool = True

    @property
    def title(self) -> str:
        return ", ".join(name.removeprefix("bench_").removesuffix(".py") for name in self.files)


def parts(version: str, targets: list[str]) -> list[Part]:
    """What a version runs, in order. Nothing but our own kernels depends on the target."""
    selection = "not slow" if version == SHORT else ""
    found = [Part((*OURS, "bench_trainer.py"), targets[0], selection)]
    if version == FULL:
        found.append(Part(("bench_stages.py",), targets[0]))
        found.append(Part(("bench_threads.py", "bench_worker.py", "bench_plan.py", "bench_threshold.py"), targets[0]))
        both = ("bench_rounds.py", "bench_stages.py")
        found += [Part(both, target, names=f"not ({OTHERS})") for target in targets[1:]]
    peers = sorted(file.name for file in (ROOT / "bench").glob("bench_peer_*.py"))
    return found + [Part((peer,), targets[0], selection, needed=False) for peer in peers]


def targets() -> list[str]:
    """Targets of the C kernels that run here, fastest first; numba alone where there is no extension."""
    try:
        from he_core import _native
    except ImportError:
        return ["numba"]
    return list(_native.targets())[::-1]


def measure(part: Part) -> tuple[dict[str, Any] | None, list[str]]:
    """pytest-benchmark's record, None where nothing ran, and what was left out. Raises SystemExit for needed ones."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "record.json"
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-m",
            part.selection,
            "-k",
            part.names,
        ]
        command += ["--benchmark-enable", "--benchmark-only", "--benchmark-warmup=off", f"--benchmark-json={file}"]
        environment = dict(os.environ) if part.target == "numba" else {**os.environ, "DCSFL_CPU_TARGET": part.target}
        files = [f"bench/{name}" for name in part.files]
        run = subprocess.run([*command, *files], cwd=ROOT, env=environment, check=False, capture_output=True)
        output = run.stdout.decode(errors="replace")
        left_out = reasons(output)
        if run.returncode not in (0, 5):  # 5: every test was skipped or left out
            if part.needed:
                sys.exit(f"benchmarks failed ({part.title}, target {part.target}):\n{output[-4000:]}")
            left_out.append(f"{part.title}: failed; run pytest bench/{part.files[0]} to see why")
        record = json.loads(file.read_text(encoding="utf-8")) if file.exists() and file.stat().st_size else None
    if record is not None:
        used = record["machine_info"]["dcsfl"]["kernels"]["target"]
        if used != part.target:
            sys.exit(f"asked for target {part.target}, the process ran {used}")
    return record, left_out


def reasons(output: str) -> list[str]:
    """Why tests were skipped, each reason once, from pytest's summary."""
    found = re.findall(r"^SKIPPED \[\d+\] \S+: (?:\w+Error: )?(.*)$", output, flags=re.MULTILINE)
    return list(dict.fromkeys(found))


def collect(version: str) -> resultfile.Result:
    """Every part's rows. The first part's record describes the machine."""
    from importlib.metadata import version as version_of

    found = targets()
    rows: list[resultfile.Row] = []
    left_out: list[str] = []
    first: dict[str, Any] = {}
    for part in parts(version, found):
        print(f"{part.title}, {part.target}: ", end="", flush=True)
        start = time.monotonic()
        record, missing = measure(part)
        left_out += [reason for reason in missing if reason not in left_out]
        measured = [
            row for one in (record or {}).get("benchmarks", []) for row in resultfile.rows_of(one, part.target)
        ]
        rows += measured
        first = first or record or {}
        told = f"{len(measured)} rows" if measured else "; ".join(missing) or "only in the full version"
        print(f"{time.monotonic() - start:.0f} s, {told}", flush=True)
    info = first["machine_info"]
    facts = {name: info["dcsfl"][name] for name in ("cpu", "cores", "gmp", "versions")}
    return {
        "format": resultfile.FORMAT,
        "version": version,
        "dcsfl": version_of("dcsfl"),
        "machine": {"system": f"{info['system']} {info['release']}", "python": info["python_version"]} | facts,
        "commit": {name: first["commit_info"][name] for name in ("id", "time", "dirty")},
        "date": first["datetime"][:19],
        "targets": found,
        "schemes": info["dcsfl"]["schemes"],
        "parameters": PARAMETERS,
        "left_out": left_out,
        "rows": rows,
    }


def write(result: resultfile.Result, folder: Path, name: str) -> Path:
    """All the files of a result; returns the page's."""
    folder.mkdir(parents=True, exist_ok=True)
    resultfile.write(result, folder / f"{name}.json")
    (folder / f"{name}.md").write_text(tables.markdown(result), encoding="utf-8")
    drawn = plots.panels(result)
    for panel in drawn:
        panel.write_png(folder / f"{name}-{panel.name}.png")
    html = folder / f"{name}.html"
    html.write_text(page.render(result, drawn, name), encoding="utf-8")
    return html


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="a quarter of an hour instead of minutes")
    parser.add_argument("--name", help="of the files; by default the processor's model, and -short")
    parser.add_argument("--into", type=Path, default=RESULTS, help="folder, made if need be")
    parser.add_argument("--redraw", type=Path, metavar="FILE.json", help="measure nothing, write the files anew")
    options = parser.parse_args()
    start = time.monotonic()
    try:
        result = resultfile.read(options.redraw) if options.redraw else collect(FULL if options.full else SHORT)
    except resultfile.ResultError as error:
        sys.exit(str(error))
    model = machine.file_name(result["machine"])
    name = options.name or (options.redraw.stem if options.redraw else "")
    name = name or (model if result["version"] == FULL else f"{model}-{SHORT}")
    print(f"{write(result, options.into, name)} after {time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    main()
