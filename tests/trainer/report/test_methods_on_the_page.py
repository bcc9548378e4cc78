"""What the page says of methods and their options: who took part, what was skipped, what crossed and how."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trainer.report import write_report
from trainer.report.parties import exposure, party_views, unprotected
from trainer.report.run_folder import read_run


def amend_rows(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Let `change` alter every row of metrics.jsonl in place."""
    file = folder / "metrics.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    for row in rows:
        change(row)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


def text_of(folder: Path) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", write_report(folder).read_text()))


def attended(row: dict[str, Any]) -> None:
    """Client 1 drops out of rounds 2 and 4; nobody is left in round 3."""
    number = row["round"]
    row["took_part"] = {f"client-{i}": int(number != 3 and (i, number) not in ((1, 2), (1, 4))) for i in range(4)}
    row["dropped_out"] = {f"client-{i}": int(number == 3 or (i, number) in ((1, 2), (1, 4))) for i in range(4)}
    row["train_loss"] = {name: loss for name, loss in row["train_loss"].items() if row["took_part"][name]}
    if number == 3:
        row["train_loss_mean"] = None


def test_the_page_shows_in_how_many_rounds_each_client_took_part(make_run: Any) -> None:
    folder = make_run(rounds=6)
    amend_rows(folder, attended)
    run = read_run(folder)
    assert [run.rounds_of(f"client-{index}") for index in range(4)] == [(5, 1), (3, 3), (5, 1), (5, 1)]
    assert run.last_losses["client-1"] == run.rounds[5].train_loss["client-1"]
    assert re.search(r"client-1 gamma 0.9, noise 3 % 31 10 3 3 ", text_of(folder))


def test_skipped_rounds_are_noted_at_the_top(make_run: Any) -> None:
    folder = make_run(rounds=6)
    amend_rows(folder, attended)
    assert "1 of the 6 rounds were skipped: drop-outs left fewer clients" in text_of(folder)


def test_a_folder_that_does_not_tell_who_took_part_still_makes_a_page(make_run: Any) -> None:
    folder = make_run(rounds=2)
    assert read_run(folder).rounds_of("client-0") is None
    assert "skipped" not in text_of(folder)


@pytest.mark.parametrize("method", ["splitfed-v2", "splitnn"])
def test_a_shared_body_is_said_to_be_one(method: str, make_run: Any) -> None:
    seen = exposure(read_run(make_run(method=method)))
    (server,) = [view for view in party_views(seen) if view.name == "Compute server"]
    assert server.holds == "body, one for all clients"


def test_weights_handed_on_are_said_to_be_seen_by_the_next_client(make_run: Any) -> None:
    folder = make_run(method="splitnn")
    amend_rows(folder, lambda row: row.update(handover_bytes=4_000))
    seen = exposure(read_run(folder))
    client = party_views(seen)[0]
    assert "the weights of head and tail as another client left them, in the clear" in client.sees
    assert client.never == "another client's data or activations"
    assert any("handed the weights of head and tail on to each other" in limit for limit in unprotected(seen))


def test_noise_on_updates_is_said_not_to_protect(make_run: Any, edit_json: Any) -> None:
    folder = make_run()
    assert not any("Laplace" in limit for limit in unprotected(exposure(read_run(folder))))
    edit_json(folder / "config.yaml", lambda config: config["method"].update(laplace_scale=0.01))
    assert any(
        "Laplace noise of scale 0.01" in limit and "not differential privacy" in limit
        for limit in unprotected(exposure(read_run(folder)))
    )


def test_an_unsplit_network_is_the_clients_alone(make_run: Any, edit_json: Any) -> None:
    folder = make_run(method="fedavg")
    edit_json(
        folder / "parts.json",
        lambda parts: parts.update(parts=[part | {"party": "client"} for part in parts["parts"]], cuts=[]),
    )
    amend_rows(folder, lambda row: row.update(cut_bytes=0))
    seen = exposure(read_run(folder))
    assert [view.name for view in party_views(seen)] == ["Client", "Aggregation server"]
    assert "the average of head, body and tail" in party_views(seen)[0].sees
    assert "the whole network" in text_of(folder)
