"""A result as Markdown: the comparison first, then every row by its group."""

from __future__ import annotations

from collections import defaultdict

from resultfile import Result, Row, expansion, headlines, is_scaled, per_million

STEPS = ("encrypt", "add", "decrypt")


def markdown(result: Result) -> str:
    """The whole file."""
    lines = [f"# {result['machine']['cpu']['model']}", "", *(f"- {name}: {value}" for name, value in facts(result))]
    lines += ["", "## A million values", "", *comparison(result)]
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in result["rows"]:
        groups[row["group"]].append(row)
    for group, rows in groups.items():
        lines += ["", f"## {group}", "", *table(rows)]
    if result["left_out"]:
        lines += ["", "## Left out", "", *(f"- {reason}" for reason in result["left_out"])]
    return "\n".join(lines) + "\n"


def comparison(result: Result) -> list[str]:
    """Who, seconds of each step, bytes, error: the fastest target's figures beside the peers'."""
    heads = ["who", *STEPS, "bytes a value", "x float32", "largest error", "measured on"]
    lines = [f"| {' | '.join(heads)} |", f"|{' --- |' * len(heads)}"]
    for who, steps in headlines(result["rows"], result["targets"][0]).items():
        encrypt, decrypt = steps["encrypt"], steps["decrypt"]
        cells = [who if encrypt["is_peer"] else f"**{who}**", *(_scaled(steps[step]) for step in STEPS)]
        cells += [f"{encrypt['bytes_per_value']:.2f}", f"{expansion(encrypt):.2f}", f"{decrypt['error']:.1e}"]
        cells.append(f"{encrypt['values']:,}{', scaled' if is_scaled(encrypt) else ''}")
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def table(rows: list[Row]) -> list[str]:
    """Rows of a group as they were measured, with their spread."""
    heads = ["who", "what", "target", "values", "clients", "bits", "median", "least to most", "repetitions", "bytes"]
    lines = [f"| {' | '.join(heads)} |", f"|{' --- |' * len(heads)}"]
    for row in sorted(rows, key=lambda row: (row["is_peer"], row["who"], row["what"])):
        cells = [row["who"], row["what"], row["target"], f"{row['values']:,}"]
        cells += ["" if row[name] is None else str(row[name]) for name in ("clients", "bits")]
        cells += [seconds(row["median_s"]), f"{seconds(row['least_s'])} to {seconds(row['most_s'])}"]
        cells += [str(row["repetitions"]), "" if row["bytes_per_value"] is None else f"{row['bytes_per_value']:.2f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def facts(result: Result) -> list[tuple[str, str]]:
    """What the figures depend on."""
    machine, commit = result["machine"], result["commit"]
    return [
        ("date", result["date"]),
        ("commit", f"{commit['id']}{', with changes' if commit['dirty'] else ''}"),
        ("version", result["version"]),
        ("system", f"{machine['system']}; {machine['cores']} processors"),
        ("python", f"{machine['python']}; " + ", ".join(f"{k} {v}" for k, v in machine["versions"].items())),
        ("gmp", machine["gmp"]),
        ("instruction sets", " ".join(machine["cpu"]["telling_flags"])),
        ("targets", ", ".join(result["targets"])),
        *result["parameters"].items(),
    ]


def seconds(value: float) -> str:
    """Three digits and a unit: `2.91 ms`."""
    for unit, factor in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if value >= factor or unit == "us":
            scaled = value / factor
            return f"{scaled:,.0f} {unit}" if scaled >= 100 else f"{scaled:.3g} {unit}"
    raise AssertionError


def _scaled(row: Row) -> str:
    least, most = per_million(row, "least_s"), per_million(row, "most_s")
    return f"{seconds(per_million(row))} ({seconds(least)} to {seconds(most)})"
