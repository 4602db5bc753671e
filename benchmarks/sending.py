"""How fast the outbox empties into a carrier, beside a loop that only posts."""

import asyncio
import sys
from collections.abc import Sequence
from time import perf_counter

import httpx

from benchmarks.stored import connected
from benchmarks.traffic import CHANNEL

#: recipients in one request to the API
PER_REQUEST = 1000
CONCURRENCY = 64


def middle(left: Sequence[tuple[float, int]], number: int) -> float:
    """Messages a second between the first tenth of *number* and the last; *left* are moments and how many
    were not yet sent."""
    begin = next((moment, count) for moment, count in left if count <= number * 0.9)
    end = next((moment, count) for moment, count in left if count <= number * 0.1)
    return (begin[1] - end[1]) / (end[0] - begin[0])


async def queue(api_url: str, key: str, number: int) -> None:
    """*number* messages into the outbox, through the API as an app would."""
    async with httpx.AsyncClient(headers={"authorization": f"Bearer {key}"}, timeout=60) as client:
        for first in range(0, number, PER_REQUEST):
            recipients = [f"+1206{200_0000 + place}" for place in range(first, first + PER_REQUEST)]
            answer = await client.post(
                f"{api_url}/v1/messages",
                json={"to": recipients, "text": "Your order is on its way.", "channel": CHANNEL},
            )
            answer.raise_for_status()


async def emptied(url: str, number: int) -> float:
    """Messages a second, from a queue of *number* to an empty one. Raises ``TimeoutError``."""
    seen: list[tuple[float, int]] = []
    async with connected(url) as connection, asyncio.timeout(120):
        while not seen or seen[-1][1]:
            count = await connection.fetchval("SELECT count(*) FROM postback.outbox")
            seen.append((perf_counter(), count))
            await asyncio.sleep(0.05)
    return middle(seen, number)


async def posted(url: str, api_key: str, number: int, concurrency: int = CONCURRENCY, size: int = 0) -> float:
    """The same by `benchmarks.posting`, in a process of its own; bodies have *size* bytes or more."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.posting", url, api_key, str(number), str(concurrency), str(size),
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    said, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError("the posting loop failed; its last words stand above")
    return float(said)
