"""The table for people and the file for machines."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table

from benchmarks.figures import Figure
from benchmarks.rounds import CPU, Entry, Options


def as_dict(
    entries: Sequence[Entry],
    figures: Sequence[Figure],
    options: Options,
    machine: Mapping[str, Any],
    postgres: Mapping[str, str],
) -> dict[str, Any]:
    """All figures: acknowledgements per second, latencies in milliseconds. Nothing names the machine."""
    echo, by_hand, *_ = entries
    return {
        "measured_at": datetime.now(UTC).date().isoformat(),
        "machine": dict(machine),
        "postgres": dict(postgres),
        "options": asdict(options),
        "entries": {
            entry.label: {
                "rate": round(entry.rate),
                "rates": [round(turn.rate) for turn in entry.turns],
                "of_echo": round(entry.rate / echo.rate, 3),
                "of_by_hand": round(entry.rate / by_hand.rate, 2),
                "p50_ms": round(median(turn.p50 for turn in entry.turns), 2),
                "p99_ms": round(median(turn.p99 for turn in entry.turns), 2),
                "cpu": {
                    name: round(median(turn.cpu[place] for turn in entry.turns), 2)
                    for place, name in enumerate(CPU)
                },
                "refused": sum(turn.refused for turn in entry.turns),
                "lost": sum(turn.balance.lost for turn in entry.turns),
                "doubled": sum(turn.balance.doubled for turn in entry.turns),
                "counts": all(turn.counts for turn in entry.turns),
            }
            for entry in entries
        },
        "figures": [asdict(figure) | {"ratio": figure.ratio} for figure in figures],
    }


def write(report: Mapping[str, Any], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(orjson.dumps(report, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))


def show(report: Mapping[str, Any], console: Console) -> None:
    options, machine, postgres = report["options"], report["machine"], report["postgres"]
    console.print(
        f"{machine['cores']} cores, {machine['processor']}, {machine['system']}, Python {machine['python']}, "
        f"Postgres {postgres['server_version']}, fsync {postgres['fsync']} ({machine['fsync_ms']} ms), "
        f"synchronous_commit {postgres['synchronous_commit']}\n"
        f"{options['connections']} connections, workers: {options['workers']}; "
        f"{options['rounds']} rounds of {options['seconds']:g} s in turn"
    )
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    for heading in (
        "a second",
        "least to most",
        "x echo",
        "x by hand",
        "p50 ms",
        "p99 ms",
        "lost",
        "doubled",
        "CPU",
    ):
        table.add_column(heading, justify="right", no_wrap=True)
    for label, entry in report["entries"].items():
        table.add_row(
            label if entry["counts"] else f"{label} (DOES NOT COUNT)",
            f"{entry['rate']:,}",
            f"{min(entry['rates']):,} - {max(entry['rates']):,}",
            f"{entry['of_echo']:.2f}",
            f"{entry['of_by_hand']:.1f}",
            f"{entry['p50_ms']:.1f}",
            f"{entry['p99_ms']:.1f}",
            f"{entry['lost']}",
            f"{entry['doubled']}",
            " ".join(f"{share:.2f}" for share in entry["cpu"].values()),
        )
    console.print(table)
    console.print(f"CPU: cores busy for {', '.join(CPU)}.\n")
    console.print(_figures(report["figures"]))


def _figures(figures: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    for heading in ("measured", "beside", "ratio", "reach", ""):
        table.add_column(heading, justify="right", no_wrap=True)
    for figure in figures:
        table.add_row(
            figure["name"],
            f"{_number(figure['value'])} {figure['unit']}",
            "" if figure["beside"] is None else _number(figure["beside"]),
            "" if figure["ratio"] is None else f"{figure['ratio']:.2f}",
            figure["reach"],
            {True: "holds", False: "MISSED", None: ""}[figure["holds"]],
        )
    return table


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
