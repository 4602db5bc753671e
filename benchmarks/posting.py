"""What one writes to send many messages: so many workers, one httpx client, a POST each, nothing kept.

``python -m benchmarks.posting URL API_KEY NUMBER CONCURRENCY SIZE`` prints how many it posted in a second.
"""

import asyncio
import itertools
import sys
from time import perf_counter

import httpx
import orjson

from benchmarks.sending import middle


def body(place: int, size: int) -> bytes:
    """What the practice carrier takes, *size* bytes or more."""
    made = orjson.dumps(
        {
            "action": "sendmms",
            "service-id": "",
            "to": f"1206{place:07}",
            "from": "18885550100",
            "message-subject": "",
            "client-reference": f"{place}",
            "slide": [{"text": "Your order is on its way."}],
        }
    )
    return made + b" " * (size - len(made))


async def post(url: str, api_key: str, number: int, concurrency: int, size: int) -> float:
    """Messages a second in the middle of the run, as the sender's are counted."""
    places = iter(range(number))
    done = itertools.count(1)
    moments: list[float] = []
    async with httpx.AsyncClient(
        timeout=30, limits=httpx.Limits(max_connections=concurrency), headers={"x-api-key": api_key}
    ) as client:

        async def work() -> None:
            for place in places:
                answer = await client.post(
                    url, content=body(place, size), headers={"content-type": "application/json"}
                )
                answer.raise_for_status()
                next(done)
                moments.append(perf_counter())

        await asyncio.gather(*(work() for _ in range(concurrency)))
    return middle([(moment, number - place - 1) for place, moment in enumerate(moments)], number)


def main() -> None:
    url, api_key, number, concurrency, size = sys.argv[1:]
    print(asyncio.run(post(url, api_key, int(number), int(concurrency), int(size))))


if __name__ == "__main__":
    main()
