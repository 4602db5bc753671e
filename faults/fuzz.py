"""``python -m faults.fuzz``: a million requests that nobody should send, through the real receiver.

`docs/fuzz.md` says what they are and what must hold. Every one goes over HTTP into Postgres; the same seed
makes the same requests, and ``--case`` shows a single one.
"""

import asyncio
import itertools
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any, TypeAlias

import httpx
import orjson
import typer
import uvloop
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from benchmarks.machine import facts
from faults import fuzz_callers, fuzz_cases, fuzz_check
from faults.fuzz_callers import Judged
from faults.fuzz_check import Checked
from faults.fuzz_cost import BATCH, Costs
from faults.machine import SCRATCH, SECRET_KEY, Command, Machine, machine
from receiver import auth, config, db, secrets

RESULTS = Path(__file__).parent / "results" / "fuzz.json"
#: what stands in ``from`` of each channel: what was written to it, where the carrier does not tell
_OURS = {
    "sinch_mms": "+18885551234",
    "sinch_sms": "+18885551234",
    "swift": "+12003004000",
    "voicetel": "+12012548000",
}

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@dataclass(frozen=True, slots=True)
class Outcome:
    """*died*: web processes that did not live to the end; *peak* is the largest of them, in megabytes."""

    judged: Judged
    checked: Checked
    costs: Costs
    seconds: float
    died: int
    peak: float
    healthy: bool

    @property
    def holds(self) -> bool:
        found = self.checked
        wrong = self.judged.wrong or found.missing or found.altered or found.doubled or found.strayed
        return not wrong and not self.died and self.healthy


@app.command()
def main(
    count: Annotated[int, typer.Option(min=1, help="Cases.")] = 1_000_000,
    seed: Annotated[int, typer.Option(min=0, help="Other cases for every other seed.")] = 1,
    connections: Annotated[int, typer.Option(min=1, help="Callers at once.")] = 128,
    workers: Annotated[int, typer.Option(min=1, help="Web processes.")] = 2,
    case: Annotated[int | None, typer.Option(help="Writes the request of one case, and no more.")] = None,
    output: Annotated[Path, typer.Option(help="Where the JSON goes.")] = RESULTS,
) -> None:
    """Sends *count* odd requests to every provider's door, and looks at what became of each."""
    if case is not None:
        sys.stdout.buffer.write(fuzz_cases.case(seed, case).raw)
        return
    with (
        Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
        ) as bars,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        outcome = runner.run(fuzzed(count, seed, connections, workers, _shown(bars)))
    report = as_dict(outcome, seed)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_bytes(orjson.dumps(report, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    show(report, Console(width=max(Console().width, 110)))
    if not outcome.holds:
        sys.exit(1)


Step: TypeAlias = Callable[[int], None]
#: begins a bar with what it counts and how many there are; the answer advances it
Bars: TypeAlias = Callable[[str, int], Step]


def _shown(bars: Progress) -> Bars:
    def begin(counted: str, total: int) -> Step:
        task = bars.add_task(counted, total=total)
        return lambda steps: bars.advance(task, steps)

    return begin


async def fuzzed(count: int, seed: int, connections: int, workers: int, bars: Bars) -> Outcome:
    """Cases 0 to *count* - 1, against an installation of their own."""
    async with _served(workers) as (installed, served, api):
        before = served.pids("worker", "serve")
        step = bars("cases", count)
        cases = _until_told(fuzz_cases.case(seed, number) for number in range(count))
        costs, began = Costs(before), perf_counter()

        def answered() -> None:
            step(1)
            costs.answered()

        judged = await fuzz_callers.send(served.address, cases, connections, answered)
        costs.end()
        seconds = perf_counter() - began
        healthy = (await api.get("/healthz")).status_code == 200
        after = served.pids("worker", "serve")
        peak = max(map(peak_memory, after), default=0.0)
        bars("payloads", 1)(1)
        checked = await fuzz_check.payloads(installed, judged)
        asked = bars("texts", len(judged.told))
        checked.strayed = await fuzz_check.texts(api, judged.told, partial(fuzz_cases.case, seed), asked)
    return Outcome(judged, checked, costs, seconds, len(set(before) - set(after)), peak, healthy)


def _until_told(cases: Iterator[fuzz_cases.Case]) -> Iterator[fuzz_cases.Case]:
    """*cases*, to the first Ctrl-C: what was sent until then is looked at all the same."""
    told = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, told.set)
    return itertools.takewhile(lambda _: not told.is_set(), cases)


@asynccontextmanager
async def _served(workers: int) -> AsyncIterator[tuple[Machine, Command, httpx.AsyncClient]]:
    """The receiver with a channel for each provider, and its API with a key."""
    channels = {
        name: {"provider": name, "tokens": [fuzz_cases.TOKEN], "from": [_OURS.get(name, "+61400000001")]}
        for name in fuzz_cases.SUCCESS
    }
    async with machine() as installed:
        await installed.database()
        served = await installed.serve(
            workers=workers, POSTBACK_SECRET_KEY=SECRET_KEY, POSTBACK_CHANNELS=orjson.dumps(channels).decode()
        )
        host, port = served.address
        headers = {"authorization": f"Bearer {await _key(installed)}"}
        url = f"http://{host}:{port}"
        async with httpx.AsyncClient(base_url=url, headers=headers, trust_env=False, timeout=60) as api:
            yield installed, served, api


async def _key(installed: Machine) -> str:
    settings = config.settings({"database_url": installed.database_url, "secret_key": [SECRET_KEY]})
    engine = db.engine(settings.database_url, settings.db_schema, size=1)
    try:
        return await auth.create_key(engine, secrets.load(settings), name="fuzz", scopes=list(auth.Scope))
    finally:
        await engine.dispose()


def peak_memory(pid: int) -> float:
    """Megabytes of resident memory that *pid* has had at most."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def as_dict(outcome: Outcome, seed: int) -> dict[str, Any]:
    """Everything that came out; nothing names the machine."""
    judged, checked = outcome.judged, outcome.checked
    kinds: dict[str, Counter[str]] = {name: Counter() for name in fuzz_cases.SUCCESS}
    for (provider, kind), number in judged.cases.items():
        kinds[provider][kind] += number
    return {
        "tried_at": datetime.now(UTC).date().isoformat(),
        "machine": facts(SCRATCH),
        "seed": seed,
        "cases": sum(judged.cases.values()),
        "seconds": round(outcome.seconds),
        "a_second": round(sum(judged.cases.values()) / outcome.seconds),
        "holds": outcome.holds,
        "answers": {str(status): number for status, number in sorted(judged.statuses.items())},
        "server_errors": sum(number for status, number in judged.statuses.items() if status >= 500),
        "unexpected_answers": judged.wrong,
        "unexpected": judged.unexpected,
        "acknowledged": len(judged.kept),
        "texts": len(judged.told),
        "workers_died": outcome.died,
        "peak_memory_mb": round(outcome.peak),
        "cpu_seconds": round(outcome.costs.total, 1),
        "cpu_ms_a_case": round(1000 * outcome.costs.total / max(outcome.costs.cases, 1), 2),
        "dearest_batches": [
            {"cpu_seconds": round(seconds, 2), "cases": f"{max(end - BATCH, 0)} to {end - 1}"}
            for seconds, end in outcome.costs.dearest
        ],
        "stored": {
            name: value if isinstance(value, dict) else len(value) for name, value in asdict(checked).items()
        },
        "cases_not_held": {
            name: value[:20] for name, value in asdict(checked).items() if isinstance(value, list) and value
        },
        "kinds": {provider: dict(sorted(counted.items())) for provider, counted in kinds.items()},
    }


def show(report: dict[str, Any], console: Console) -> None:
    table = Table(box=None, pad_edge=False)
    shown = ["fields", "bytes", "json", "query", "noise"]
    for heading in ("", *shown, "texts", "HTTP", "all"):
        table.add_column(heading, justify="right" if heading else "left")
    for provider, kinds in report["kinds"].items():
        texts = sum(number for kind, number in kinds.items() if ", " in kind)
        plain = [kinds.get(kind, 0) for kind in shown]
        every = sum(kinds.values())
        counts = (*plain, texts, every - texts - sum(plain), every)
        table.add_row(provider, *(f"{number:,}" for number in counts))
    console.print(table)
    for line in (*_summary(report), *report["unexpected"]):
        console.print(line, highlight=False, markup=False)


def _summary(report: dict[str, Any]) -> Iterator[str]:
    stored = report["stored"]
    yield f"{report['cases']:,} cases in {report['seconds']} s, {report['a_second']:,} a second"
    yield f"5xx {report['server_errors']}, unexpected {report['unexpected_answers']} of {report['answers']}"
    yield f"acknowledged {report['acknowledged']:,}, kept as {stored['states']}"
    yield f"missing {stored['missing']}, altered {stored['altered']}, doubled {stored['doubled']}"
    yield f"texts {report['texts']:,}, not equal {stored['strayed']}"
    yield f"web processes that died {report['workers_died']}; the largest had {report['peak_memory_mb']} MB"
    dearest = ", ".join(f"{one['cpu_seconds']} s ({one['cases']})" for one in report["dearest_batches"])
    yield f"processor {report['cpu_seconds']} s, {report['cpu_ms_a_case']} ms a case"
    yield f"dearest {BATCH} cases: {dearest}"
    for name, numbers in report["cases_not_held"].items():
        yield f"{name}: cases {numbers}"
    yield "holds" if report["holds"] else "DOES NOT HOLD"


if __name__ == "__main__":
    app()
