"""What we promise ourselves, figure by figure: measured, and held against what is named beside it."""

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlunsplit

import httpx

from benchmarks import grown, growth, load, lookups, machine, sending
from benchmarks.carrier import API_KEY, CONTROL_KEY, LATENCY
from benchmarks.carrier import PATH as CARRIER_PATH
from benchmarks.contenders import Contender, Field
from benchmarks.rounds import Entry, Options
from benchmarks.stored import PostbackStore
from benchmarks.traffic import Known, KnownReports
from simulator.door import KEY_HEADER

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Figure:
    """*value* in *unit*, held against *beside* (the same unit) where there is something beside it; *reach* is
    the least or most that it should come to. *holds* is None where it is only reported."""

    name: str
    value: float
    unit: str
    beside: float | None = None
    reach: str = ""
    holds: bool | None = None

    @property
    def ratio(self) -> float | None:
        return self.value / self.beside if self.beside else None


def at_least(name: str, value: float, beside: float, reach: float, unit: str = "a second") -> Figure:
    return Figure(name, value, unit, beside, f">= {reach:g} x", value >= reach * beside)


def at_most(name: str, value: float, beside: float, reach: float, unit: str) -> Figure:
    return Figure(name, value, unit, beside, f"<= {reach:g} x", value <= reach * beside)


def of_rates(entries: list[Entry]) -> list[Figure]:
    """What the turns of `benchmarks.rounds` say."""
    echo, by_hand, known, foreign, inbound = (entry.rate for entry in entries)
    return [
        at_least("reports on known messages, beside the echo", known, echo, 0.7),
        at_least("reports on foreign messages, beside the echo", foreign, echo, 0.5),
        at_least("inbound messages, beside the echo", inbound, echo, 0.4),
        at_least("reports on known messages, beside the handler by hand", known, by_hand, 15),
    ]


async def open_loop(field: Field, known: Entry, options: Options) -> Figure:
    """Acknowledgements at 60 % of what the closed loop reached."""
    measured = await load.opened(
        field.postback.address, known.traffic.request, known.serials, rate=known.rate * 0.6,
        connections=options.connections, warm_up=options.warm_up, seconds=options.seconds * 2,
    )  # fmt: skip
    p99 = measured.latency(0.99)
    return Figure("acknowledgement p99 at 60 % of that rate", p99, "ms", None, "<= 50 ms", p99 <= 50)


async def of_growth(
    field: Field, messages: list[Known], options: Options, progress: Progress
) -> list[Figure]:
    """What stays as it was when there are many events, and how much room they take."""
    places: list[tuple[str, Contender]] = []
    for events, name in ((options.few, "few"), (options.many, "many")):
        progress(f"writing {events:,} events")
        url = await field.processes.migrated(name)
        past = await grown.fill(url, events)
        await PostbackStore(url).prepare(messages)
        places.append((url, await field.processes.postback(url, 1)))
    (_, small), (url, large) = places
    progress("reports with few events stored and with many")
    before, after = await growth.measure(
        small,
        large,
        KnownReports(messages),
        field.postgres_pid,
        rounds=options.rounds,
        seconds=options.seconds,
    )
    progress("lookups")
    bare = await field.processes.served("by_key", url, 1)
    key = await field.processes.key(url)
    waits = await lookups.measure(
        bare, large, url, past, key, rounds=options.rounds, seconds=options.seconds, warm_up=options.warm_up
    )
    stored = f"with {options.many:,} events"
    return [
        at_most(f"CPU per 1,000 reports {stored}, beside {options.few:,}", after, before, 1.25, "s"),
        *(
            at_most(
                f"lookup by {word} {stored}, p99, beside a select by key",
                waits[word],
                waits["by key"],
                3,
                "ms",
            )
            for word in lookups.WORDS
        ),
        Figure("disk per message with three events and their requests", past.bytes_per_message / 1024, "KiB"),
    ]


async def of_sending(field: Field, options: Options, progress: Progress) -> list[Figure]:
    """The sender and a loop that only posts, to the same practice carrier."""
    progress("sending")
    carrier = await field.processes.ready("-m", "benchmarks.carrier", name="carrier")
    base = urlunsplit(("http", f"{carrier.address[0]}:{carrier.address[1]}", "", "", ""))
    async with httpx.AsyncClient(headers={KEY_HEADER: CONTROL_KEY}) as client:
        (await client.post(f"{base}/practice/faults", json={"slow": LATENCY})).raise_for_status()
    url = await field.processes.migrated("sending")
    web = await field.processes.postback(url, 1)
    key = await field.processes.key(url)
    posted = [await sending.posted(f"{base}{CARRIER_PATH}", API_KEY, options.sends)]
    await sending.queue(f"http://{web.address[0]}:{web.address[1]}", key, options.sends)
    pid = await field.processes.sender(url, carrier)
    sent = await sending.emptied(url, options.sends)
    posted.append(await sending.posted(f"{base}{CARRIER_PATH}", API_KEY, options.sends))
    return [
        at_least("messages through the sender, beside a posting loop", sent, sum(posted) / 2, 0.7),
        Figure("memory of the sender", machine.resident(pid), "MiB"),
    ]


def memory(field: Field, when: str) -> Figure:
    return Figure(f"memory of a web process, {when}", machine.resident(field.postback.pids[0]), "MiB")
