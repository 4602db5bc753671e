"""The sender dies between claim, call and settle: nobody gets a message twice, and none is forgotten."""

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx

from faults import processes
from faults.command import Command
from faults.machine import Machine, machine
from faults.ports import free_port
from faults.rows import Result, Run, row
from faults.traffic import CHANNEL

API_KEY = "the-carriers-key"
#: messages of each step
MESSAGES = 40
#: seconds for a lease to run out (45 at most), to be noticed, and for the sends that follow
PATIENCE = 75.0
#: calls a second; a turn that has to be waited for is where a claim can be caught
RATE = 20

#: of all that may be sent still; what was given up stays as `uncertain`, in case that an answer comes late
_STATES = "SELECT state, count(*) FROM postback.outbox WHERE state <> 'uncertain' GROUP BY state"
#: what a dead sender's leases would come to anyway, sooner; nobody else may hold one
_LET_LEASES_END = "UPDATE postback.outbox SET lease_until = lease_until - interval '1 minute'"


class Sending:
    """An installation whose sender is killed, its practice carrier, and an account of who was sent what."""

    def __init__(self, broken: Machine, api: httpx.AsyncClient, carrier: httpx.AsyncClient) -> None:
        self.broken, self._api, self._carrier = broken, api, carrier
        self.messages: dict[str, str] = {}
        self._numbers = iter(range(1_000_000))

    def people(self, number: int) -> list[str]:
        """The numbers of *number* people to whom nothing was sent yet."""
        return [f"+1206{next(self._numbers) + 2_000_000}" for _ in range(number)]

    async def accept(self, number: int = MESSAGES, people: Sequence[str] = ()) -> None:
        """Sends *number* messages, each to somebody else, or one to each of *people*."""
        people = list(people) or self.people(number)
        answer = await self._api.post(
            "/v1/messages", json={"to": people, "text": "Hello", "channel": CHANNEL}
        )
        answer.raise_for_status()
        self.messages |= {message["id"]: message["to"] for message in answer.json()["data"]}

    async def order(self, **faults: Any) -> None:
        (await self._carrier.post("/practice/faults", json=faults)).raise_for_status()

    async def states(self) -> Counter[str]:
        """How many rows of the outbox are in which state."""
        async with self.broken.connection() as connection:
            return Counter({row["state"]: row["count"] for row in await connection.fetch(_STATES)})

    async def messages_told(self) -> dict[str, dict[str, Any]]:
        """Each message with its timeline, by its id."""
        found: dict[str, dict[str, Any]] = {}
        ids = list(self.messages)
        for begin in range(0, len(ids), 100):
            answer = await self._api.post("/v1/messages/lookup", json={"ids": ids[begin : begin + 100]})
            found |= {message["id"]: message for message in answer.raise_for_status().json()["data"]}
        return found

    async def no_callbacks(self) -> None:
        """From now on the carrier tells nothing but its answers."""
        account = {"provider": "sinch_mms", "name": CHANNEL, "api_key": API_KEY, "callback_url": None}
        (await self._carrier.post("/practice/accounts", json=account)).raise_for_status()

    async def until(self, state: str, number: int = 1) -> None:
        """Returns when *number* rows are in *state*. Raises ``TimeoutError``."""
        async with asyncio.timeout(20):
            while (await self.states())[state] < number:  # noqa: ASYNC110 - in other processes
                await asyncio.sleep(0.005)

    async def calls(self) -> Counter[str]:
        """How often the carrier was asked to send to each number."""
        found = await self._carrier.get("/practice/journal", params={"kind": "request", "limit": "10000"})
        bodies = [entry["body"] for entry in found.raise_for_status().json()["data"]]
        return Counter(f"+{recipient.lstrip('+')}" for body in bodies for recipient in _recipients(body))

    async def drained(self, within: float) -> bool:
        """Whether the outbox is empty within *within* seconds."""
        deadline = asyncio.get_running_loop().time() + within
        while await self.states():
            if asyncio.get_running_loop().time() > deadline:
                return False
            await asyncio.sleep(0.2)
        return True

    async def statuses(self) -> dict[str, str]:
        """Of each message, by its id."""
        told = await self.messages_told()
        return {name: message["status"] for name, message in told.items()}

    async def settle(self, message_id: str) -> int:
        """A person looks at the carrier's side and decides; the answer's status."""
        answer = await self._api.post(f"/v1/messages/{message_id}/settle", json={"status": "failed"})
        return answer.status_code


async def _while_claimed(sending: Sending, sender: Command) -> None:
    """Claimed, and the turn to call not yet come: the lease runs out, and another sender calls."""
    await sending.accept()
    await sending.until("claimed")
    sender.send(signal.SIGKILL)


async def _while_calling(sending: Sending, sender: Command) -> None:
    """The carrier has the request and has not answered: its reports tell what became of it."""
    await sending.order(slow=3, next=MESSAGES)
    await sending.accept()
    await sending.until("calling", 5)
    sender.send(signal.SIGKILL)


async def _before_the_settlement(sending: Sending, sender: Command) -> None:
    """The answer is there, and Postgres is not: the sender dies with what it knows."""
    await sending.order(slow=1, next=MESSAGES)
    await sending.accept()
    await sending.until("calling", 5)
    frozen = processes.server(sending.broken.server.pid)
    for pid in frozen:
        processes.send(pid, signal.SIGSTOP)
    await asyncio.sleep(1.3)  # the answers have come
    sender.send(signal.SIGKILL)
    for pid in frozen:
        processes.send(pid, signal.SIGCONT)


async def _unheard(sending: Sending, sender: Command) -> None:
    """Marked as calling, and the carrier never reads it: only a person can tell, so a person is asked."""
    carrier = sending.broken.carrier
    carrier.send(signal.SIGSTOP)
    await sending.accept(5)
    await sending.until("calling", 5)
    sender.send(signal.SIGKILL)
    await sender.ended()
    await carrier.erase()
    await sending.broken.simulate()


Step = Callable[[Sending, Command], Awaitable[None]]
STEPS: dict[str, Step] = {
    "claimed": _while_claimed,
    "calling": _while_calling,
    "before the settlement": _before_the_settlement,
    "unheard": _unheard,
}


@row(
    10,
    "sender",
    "the sender killed between claim, call and settle, at every step, and at random",
    "no message sent twice unless a person settles it so; none stuck",
)
async def sender(run: Run) -> Result:
    result, random = Result(), run.random
    steps = ["calling"] if run.short else list(STEPS)
    async with installed(rate=RATE) as sending:
        earlier = Counter[str]()
        for name in steps:
            run.progress(name)
            if name == "unheard":  # whose step takes the carrier's memory of the others away
                earlier = await sending.calls()
            killed = await sending.broken.background("send")
            await STEPS[name](sending, killed)
            await killed.ended()
        for number in range(0 if run.short else 20):
            run.progress(f"at random, {number + 1} of 20")
            await sending.accept(20)
            killed = await sending.broken.background("send")
            await asyncio.sleep(random.uniform(0.8, 2.0))
            await killed.erase()
        run.progress("until every lease has ended")
        if run.short:
            async with sending.broken.connection() as connection:
                await connection.execute(_LET_LEASES_END)
        await sending.broken.background("send")
        result.demand(await sending.drained(PATIENCE), f"stuck in the outbox: {await sending.states()}")
        await asyncio.sleep(2)  # the last reports
        await _judge(sending, earlier, result)
        result.rounds = len(steps) + (0 if run.short else 20)
    return result


async def _judge(sending: Sending, earlier: Counter[str], result: Result) -> None:
    calls, statuses = earlier + await sending.calls(), await sending.statuses()
    result.requests = result.acknowledged = len(sending.messages)
    result.lost = len(sending.messages.keys() - statuses.keys())
    result.doubled = sum(times > 1 for times in calls.values())
    uncertain = [message for message, status in statuses.items() if status == "uncertain"]
    silent = [message for message in uncertain if not calls[sending.messages[message]]]
    result.demand(not result.doubled, f"{result.doubled} messages were sent twice")
    result.demand(not result.lost, f"{result.lost} messages are gone")
    result.demand(
        len(silent) == len(uncertain),
        f"{len(uncertain) - len(silent)} messages are uncertain although the carrier has reported on them",
    )
    settled = [await sending.settle(message) for message in uncertain]
    result.demand(all(200 <= code < 300 for code in settled), f"a person could not settle one: {settled}")
    stuck = Counter(status for status in statuses.values() if status not in ("delivered", "uncertain"))
    result.demand(not stuck, f"neither delivered nor uncertain: {dict(stuck)}")
    result.figures = {"uncertain, settled by a person": len(uncertain), "calls": sum(calls.values())}


@asynccontextmanager
async def installed(**more: Any) -> AsyncIterator[Sending]:
    """An installation without a sender; *more* are keys of its channel."""
    port = free_port()
    keys = {"api_key": API_KEY, "base_url": f"http://127.0.0.1:{port}/ep/v2/", **more}
    async with machine(**keys) as broken:
        await broken.database()
        await broken.simulate(port)
        await broken.serve(workers=1)
        async with broken.clients() as (api, carrier):
            yield Sending(broken, api, carrier)


def _recipients(body: Any) -> list[str]:
    """Of a send as the journal shows it: the object that was posted."""
    to = body.get("to", [])
    return to if isinstance(to, list) else [to]
