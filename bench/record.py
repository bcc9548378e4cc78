"""One machine's results: `python bench/record.py` writes bench/results/NAME.json and NAME.md.

The benchmarks of a round, of the stages and of the peers, once per target of the C kernels that runs here, each in a
process of its own held to that target; python-paillier, which uses no kernel of ours, in the fastest target's alone.
A ratio compares medians, of one process where the peer ran in it. Takes some minutes: Paillier is measured on few
ciphertexts.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
EVERY_TARGET = ["bench/bench_rounds.py", "bench/bench_peer_tenseal.py", "bench/bench_threads.py"]
STAGES = "bench/bench_pipeline.py"
SELECTED_STAGES = (
    "1e6 and not paillier and not round_of_two"  # `make bench` has a million values of Paillier: an hour
)
FASTEST_TARGET_ONLY = ["bench/bench_peer_phe.py"]
PARAMETERS = {
    "values": "uniform in [-0.05, 0.05), float32; 16-bit codes, clip limit 0.05, 8 clients at most",
    "threads": "one, the process held to one processor, but for the groups named after threads",
    "figures": "median, least and most of the repetitions, scaled to a million values",
}


def targets() -> list[str]:
    """Targets of the C kernels that run here, fastest first; numba alone where there is no extension."""
    try:
        from he_core import _native
    except ImportError:
        return ["numba"]
    return list(_native.targets())[::-1]


def pytest_record(arguments: list[str], target: str) -> dict[str, Any]:
    """pytest-benchmark's record of a run held to `target`. Raises SystemExit where a benchmark fails."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "record.json"
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        command += ["--benchmark-enable", "--benchmark-only", "--benchmark-warmup=off", f"--benchmark-json={file}"]
        environment = dict(os.environ) if target == "numba" else {**os.environ, "DCSFL_CPU_TARGET": target}
        run = subprocess.run([*command, *arguments], cwd=ROOT, env=environment, check=False, capture_output=True)
        if run.returncode != 0:
            sys.exit(f"benchmarks failed under target {target}:\n{run.stdout.decode()[-4000:]}")
        for line in run.stdout.decode().splitlines():
            if line.startswith("SKIPPED"):
                print(f"  {line}", flush=True)
        record: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    used = record["machine_info"]["dcsfl"]["kernels"]["target"]
    if used != target:
        sys.exit(f"asked for target {target}, the process ran {used}")
    return record


def row(benchmark: dict[str, Any], target: str) -> dict[str, Any]:
    """What a table shows of one benchmark."""
    extra, stats = benchmark["extra_info"], benchmark["stats"]
    scale = 1_000_000 / extra["values"]
    stage, _, variant = benchmark["name"].partition("[")
    return {
        "benchmark": benchmark["fullname"],
        "group": re.sub(r"^(\w+) 1000000$", r"stage: \1", benchmark["group"]),
        "who": extra["who"] or variant.rstrip("]").replace("-1e6", ""),
        "what": extra["what"] or stage.removeprefix("test_"),
        "target": target,
        "is_peer": extra["is_peer"],
        "is_reference": extra["is_reference"],
        "values": extra["values"],
        "bits_per_value": extra.get("bits_per_value"),
        "repetitions": stats["rounds"],
        "median_s": stats["median"] * scale,
        "least_s": stats["min"] * scale,
        "most_s": stats["max"] * scale,
    }


def with_ratios(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each of our rows with its speed relative to each peer's reference, of the same process where it ran there."""
    for ours in rows:
        ours["times_faster_than"] = {}
        if ours["is_peer"]:
            continue
        references = [r for r in rows if r["is_reference"] and r["group"] == ours["group"]]
        for peer in sorted(references, key=lambda r: r["target"] == ours["target"]):
            ours["times_faster_than"][peer["who"]] = peer["median_s"] / ours["median_s"]
    return rows


def seconds(value: float) -> str:
    """Three digits and a unit: `2.91 ms`."""
    for unit, factor in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if value >= factor or unit == "us":
            scaled = value / factor
            return f"{scaled:,.0f} {unit}" if scaled >= 100 else f"{scaled:.3g} {unit}"
    raise AssertionError


def markdown(result: dict[str, Any]) -> str:
    """The tables, a group each."""
    machine = result["machine"]
    lines = [f"# {machine['cpu']['model']}", ""]
    lines += [f"- {name}: {value}" for name, value in summary(result)]
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for entry in result["rows"]:
        groups[entry["group"]].append(entry)
    for group, entries in groups.items():
        peers = sorted({name for entry in entries for name in entry["times_faster_than"]})
        heads = ["who", "what", "target", "a million values", "least to most", "bits a value", "measured on"]
        heads += [f"x {name.split()[0]}" for name in peers]
        lines += ["", f"## {group}", "", f"| {' | '.join(heads)} |", f"|{' --- |' * len(heads)}"]
        for entry in sorted(entries, key=lambda e: (e["is_peer"], e["who"], e["what"])):
            ratios = [entry["times_faster_than"].get(name) for name in peers]
            cells = [
                entry["who"],
                entry["what"],
                f"(beside {entry['target']})" if entry["is_peer"] else entry["target"],
                seconds(entry["median_s"]),
                f"{seconds(entry['least_s'])} to {seconds(entry['most_s'])}",
                f"{entry['bits_per_value']:,}" if entry["bits_per_value"] else "",
                f"{entry['values']:,} x {entry['repetitions']}",
            ]
            cells += ["" if ratio is None else f"{ratio:,.3g}" for ratio in ratios]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def summary(result: dict[str, Any]) -> list[tuple[str, str]]:
    machine, commit = result["machine"], result["commit"]
    return [
        ("date", result["date"]),
        ("commit", f"{commit['id']}{', with changes' if commit['dirty'] else ''}"),
        ("python", f"{machine['python']}; " + ", ".join(f"{k} {v}" for k, v in machine["versions"].items())),
        ("gmp", machine["gmp"]),
        ("instruction sets", " ".join(machine["cpu"]["telling_flags"])),
        ("targets", ", ".join(result["targets"])),
        *result["parameters"].items(),
    ]


def measure() -> dict[str, Any]:
    """Every target's benchmarks. The first record, of the fastest target, describes the machine."""
    rows, first, found = [], {}, targets()
    for target in found:
        print(f"target {target}", flush=True)
        records = [
            pytest_record(EVERY_TARGET + (FASTEST_TARGET_ONLY if not first else []), target),
            pytest_record([STAGES, "-k", SELECTED_STAGES], target),
        ]
        first = first or records[0]
        rows += [row(benchmark, target) for record in records for benchmark in record["benchmarks"]]
    info = first["machine_info"]
    return {
        "machine": {"system": f"{info['system']} {info['release']}", "python": info["python_version"]}
        | {name: info["dcsfl"][name] for name in ("cpu", "gmp", "versions", "threads")},
        "commit": {name: first["commit_info"][name] for name in ("id", "time", "dirty")},
        "date": first["datetime"][:19],
        "targets": found,
        "parameters": PARAMETERS,
        "rows": with_ratios(rows),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--name", help="of the files; by default the processor's model")
    parser.add_argument("--folder", type=Path, default=ROOT / "bench" / "results")
    options = parser.parse_args()
    result = measure()
    model = result["machine"]["cpu"]["model"]
    name = options.name or re.sub(r"[^a-z0-9]+", "-", model.lower()).strip("-")
    options.folder.mkdir(parents=True, exist_ok=True)
    (options.folder / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    (options.folder / f"{name}.md").write_text(markdown(result), encoding="utf-8")
    print(f"{options.folder / name}.md")


if __name__ == "__main__":
    main()
