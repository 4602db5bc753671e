"""The table on the screen, the file for machines, and the page for people."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table

from faults.rows import Result, Row

#: in the page, what stands between these is written anew by every full run
BEGIN, END = "<!-- the table, as `make faults` wrote it -->", "<!-- the end of the table -->"
HEADINGS = ("rounds", "requests", "acknowledged", "lost", "doubled")


def as_dict(
    results: Sequence[tuple[Row, Result, float]], machine: Mapping[str, Any], *, seed: int, short: bool
) -> dict[str, Any]:
    """Everything that came out; nothing names the machine."""
    return {
        "tried_at": datetime.now(UTC).date().isoformat(),
        "machine": dict(machine),
        "seed": seed,
        "form": "short" if short else "full",
        "rows": {
            row.name: {
                "number": row.number,
                "fault": row.fault,
                "must": row.must,
                "seconds": round(seconds),
                **asdict(result),
            }
            for row, result, seconds in results
        },
    }


def write(report: Mapping[str, Any], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(orjson.dumps(report, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))


def merged(report: dict[str, Any], path: Path) -> dict[str, Any]:
    """*report* with the rows of an earlier one in *path* that were not tried this time.

    The day and the machine are those of the earlier one then; a row that was tried alone has its own.
    """
    if not path.exists():
        return report
    earlier = orjson.loads(path.read_bytes())
    if earlier["machine"].keys() != report["machine"].keys() or earlier["form"] != report["form"]:
        return report
    if earlier["rows"].keys() - report["rows"].keys():
        alone = f"tried alone, {report['tried_at']}, {report['machine']['processor']}"
        for row in report["rows"].values():
            row["tried"] = alone
        report |= {"tried_at": earlier["tried_at"], "machine": earlier["machine"]}
    rows = {**earlier["rows"], **report["rows"]}
    report["rows"] = dict(sorted(rows.items(), key=lambda item: item[1]["number"]))
    return report


def show(report: Mapping[str, Any], console: Console) -> None:
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    for heading in (*HEADINGS, "s"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("holds")
    table.add_column("figures", ratio=1)
    for name, row in report["rows"].items():
        counts = (f"{row[heading]:,}" for heading in (*HEADINGS, "seconds"))
        table.add_row(name, *counts, _verdict(row), _figures(row))
    console.print(table)
    for name, row in report["rows"].items():
        for note in row["notes"]:
            console.print(f"{name}: {note}", style=None if row["holds"] else "red", markup=False)


def publish(report: Mapping[str, Any], page: Path) -> None:
    """Puts the table into *page*, between its two marks."""
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n{markdown(report)}{END}{after}", encoding="utf-8")


def markdown(report: Mapping[str, Any]) -> str:
    machine = report["machine"]
    described = (
        f"{report['tried_at']}, seed {report['seed']}: {machine['cores']} cores, {machine['processor']}, "
        f"{machine['system']}, Python {machine['python']}; an fsync takes {machine['fsync_ms']} ms."
    )
    lines = [
        described,
        "",
        f"| fault | must hold | {' | '.join(HEADINGS)} | holds | measured |",
        f"|---|---|{'---:|' * len(HEADINGS)}---|---|",
    ]
    for row in report["rows"].values():
        counts = " | ".join(f"{row[heading]:,}" for heading in HEADINGS)
        measured = "; ".join(filter(None, [_figures(row), *row["notes"], row.get("tried")])).replace(
            "|", "\\|"
        )
        lines.append(f"| {row['fault']} | {row['must']} | {counts} | {_verdict(row)} | {measured} |")
    return "\n".join(lines) + "\n"


def _verdict(row: Mapping[str, Any]) -> str:
    return "yes" if row["holds"] else "NO"


def _figures(row: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value:,}" if not isinstance(value, str) else f"{name} {value}"
                     for name, value in row["figures"].items())  # fmt: skip
