"""Postgres is frozen while apps send and read: they are told in time, and what they are told is so."""

import asyncio
import itertools
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import httpx

from faults.machine import Machine, machine
from faults.outages import frozen
from faults.ports import free_port
from faults.rows import Result, Run, row
from models.status import STATUS_BIT, Status

#: callers that send, and callers that read, each one call after the other
SENDING, READING = 12, 6
#: seconds from one send of a caller to its next
PAUSE = 0.1
#: seconds within which 99 of 100 calls are answered while Postgres is frozen, and within which all are
IN_TIME, AT_MOST = 2.0, 5.0
#: seconds for everything that was taken to be called for
PATIENCE = 90.0
UNCERTAIN = STATUS_BIT[Status.UNCERTAIN]
LISTS = ("/v1/messages", "/v1/conversations", "/v1/events", "/v1/opt-outs")

_STORED = """
SELECT m.contact, count(*) AS stored, bool_and(m.seen >= $1 AND m.seen < 2 * $1) AS uncertain
FROM postback.message m WHERE m.direction = 'outbound' GROUP BY m.contact
"""
_WAITING = "SELECT count(*) FROM postback.outbox"


@dataclass(slots=True)
class Send:
    """One text to somebody whom nobody else writes to. A *persistent* caller goes on as the answers say until
    the message is taken; any other calls once. *codes* are what it was told instead."""

    contact: str
    keyed: bool
    persistent: bool
    taken: bool = False
    codes: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Apps:
    """Callers of the API, and what became of their calls. *waits* are the seconds until a 503 came."""

    api: httpx.AsyncClient
    sends: list[Send] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    slowest: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    unexpected: Counter[str] = field(default_factory=Counter)
    _serials: Any = field(default_factory=itertools.count)

    async def crowd(self, until: asyncio.Event) -> None:
        await asyncio.gather(
            *(self._send_on(until) for _ in range(SENDING)),
            *(self._read_on(LISTS[number % len(LISTS)], until) for number in range(READING)),
        )

    async def _send_on(self, until: asyncio.Event) -> None:
        while not until.is_set():
            serial = next(self._serials)
            send = Send(f"+1206{2_000_000 + serial}", keyed=serial % 2 == 0, persistent=serial % 4 < 2)
            self.sends.append(send)
            await self._deliver(send)
            await asyncio.sleep(PAUSE)

    async def _deliver(self, send: Send) -> None:
        named: list[str] = []
        while not send.taken:
            if named:
                found = await self._call("lookup", "POST", "/v1/messages/lookup", json={"ids": named})
                if found.get("missing", {}).get("ids") == []:
                    send.taken = True
                    return
                if "missing" not in found:  # nobody can tell yet
                    await asyncio.sleep(0.2)
                    continue
            headers = {"Idempotency-Key": f"key of {send.contact}"} if send.keyed else {}
            body = {"to": send.contact, "text": "Hello"}
            answer = await self._call("send", "POST", "/v1/messages", json=body, headers=headers)
            send.taken, named = "data" in answer, answer.get("message_ids", [])
            if not send.taken:
                send.codes.append(answer["code"])
                if not send.persistent:
                    return
                await asyncio.sleep(0.1)

    async def _read_on(self, path: str, until: asyncio.Event) -> None:
        while not until.is_set():
            await self._call("list", "GET", path)
            await asyncio.sleep(0.02)

    async def _call(self, kind: str, method: str, path: str, **given: Any) -> dict[str, Any]:
        """The JSON of the answer."""
        began = perf_counter()
        answer = await self.api.request(method, path, **given)
        took = perf_counter() - began
        said: dict[str, Any] = answer.json()
        if answer.status_code == 503 and "retry-after" in answer.headers:
            self.waits.append(took)
            self.slowest[kind] = max(self.slowest[kind], took)
        elif not answer.is_success:
            self.unexpected[f"{method} {path}: {answer.status_code}"] += 1
        return said


class Carrier:
    """How often the practice carrier was asked to send to each number; its journal keeps the newest only."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client, self._after = client, 0
        self.calls = Counter[str]()

    async def look(self) -> None:
        query: dict[str, str | int] = {"kind": "request", "after": self._after, "limit": 10_000}
        found = await self._client.get("/practice/journal", params=query)
        for entry in found.raise_for_status().json()["data"]:
            self.calls["+" + entry["body"]["to"]] += 1
            self._after = entry["seq"]


@row(
    13,
    "frozen-door",
    "Postgres frozen for 2 to 6 s at random moments while apps send, with and without keys, and read lists",
    "503 within 2 s; what is answered `unavailable` is not stored; whoever goes on as the answers say sends "
    "once; the carrier is called once for each message",
)
async def frozen_door(run: Run) -> Result:
    result, random = Result(), run.random
    rounds = 1 if run.short else 12
    async with _installed() as (broken, apps, carrier):
        for number in range(rounds):
            run.progress(f"round {number + 1} of {rounds}")
            ended = asyncio.Event()
            load = asyncio.create_task(apps.crowd(ended))
            await asyncio.sleep(random.uniform(1, 2))
            async with frozen(broken):
                await asyncio.sleep(2.5 if run.short else random.uniform(2, 6))
            await asyncio.sleep(1.5)
            ended.set()
            await load
            await carrier.look()
        run.progress("until everything is called for")
        await _judge(broken, apps, carrier, result)
    result.rounds = rounds
    return result


async def _judge(broken: Machine, apps: Apps, carrier: Carrier, result: Result) -> None:
    stored = await _stored(broken)
    await carrier.look()
    calls = carrier.calls
    result.requests = len(apps.sends)
    result.acknowledged = sum(send.taken for send in apps.sends)
    result.lost = sum(send.taken and not stored.get(send.contact) for send in apps.sends)
    result.doubled = sum(times > 1 for times in (*stored.values(), *calls.values()))
    result.demand(not result.lost, f"{result.lost} are answered as taken and not stored")
    result.demand(not result.doubled, f"{result.doubled} were stored or sent twice")
    certain = [send for send in apps.sends if not send.taken and set(send.codes) == {"unavailable"}]
    wrong = [send for send in certain if stored.get(send.contact)]
    result.demand(not wrong, f"{len(wrong)} are answered as not stored and stored")
    uncalled = await _uncalled(broken, calls)
    result.demand(not uncalled, f"{uncalled} are stored, not uncertain, and their carrier was not called")
    result.demand(not apps.unexpected, f"answers of other kinds: {dict(apps.unexpected)}")
    waits = sorted(apps.waits)
    usual = waits[int(0.99 * len(waits))] if waits else 0.0
    result.demand(waits, "nobody was answered 503")
    result.demand(usual <= IN_TIME, f"one in a hundred waited for more than {usual:.1f} s")
    result.demand(not waits or waits[-1] <= AT_MOST, "somebody waited for longer than 5 s")
    codes = Counter(code for send in apps.sends for code in send.codes)
    result.figures = {
        "answered unavailable": codes["unavailable"],
        "outcome_unknown": codes["outcome_unknown"],
        "p99 of waits s": round(usual, 2),
        **{f"longest wait of a {kind} s": round(took, 2) for kind, took in sorted(apps.slowest.items())},
        "carrier calls": sum(calls.values()),
        "stored": sum(stored.values()),
    }


async def _stored(broken: Machine) -> dict[str, int]:
    """Messages by whom they are to, once nothing waits to be sent."""
    deadline = asyncio.get_running_loop().time() + PATIENCE
    async with broken.connection() as connection:
        while (  # noqa: ASYNC110 - emptied by another process
            await connection.fetchval(_WAITING) and asyncio.get_running_loop().time() < deadline
        ):
            await asyncio.sleep(0.2)
        return {row["contact"]: row["stored"] for row in await connection.fetch(_STORED, UNCERTAIN)}


async def _uncalled(broken: Machine, calls: Counter[str]) -> int:
    async with broken.connection() as connection:
        rows = await connection.fetch(_STORED, UNCERTAIN)
    return sum(not calls[row["contact"]] and not row["uncertain"] for row in rows)


@asynccontextmanager
async def _installed() -> AsyncIterator[tuple[Machine, Apps, Carrier]]:
    port = free_port()
    keys = {"api_key": "the-carriers-key", "base_url": f"http://127.0.0.1:{port}/ep/v2/", "rate": 200}
    async with machine(**keys) as broken:
        await broken.database()
        await broken.simulate(port)
        await broken.serve(workers=2)
        await broken.background("send")
        async with broken.clients(within=60) as (api, carrier):
            yield broken, Apps(api), Carrier(carrier)
