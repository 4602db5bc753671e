"""What is stored after a run, held against what was sent: every body byte for byte, every text by the API."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from faults.fuzz_callers import Judged
from faults.fuzz_cases import Case, checksum
from faults.machine import Machine

#: seconds that a spool gets to be empty
PATIENCE = 120.0
#: messages in one question to the API
LOOKUP = 100

_STORED = """SELECT (headers ->> 'x-fuzz')::bigint AS number, state, query, body
             FROM postback.payload ORDER BY id"""
_WAITING = "SELECT count(*) FROM postback.payload WHERE headers ? 'x-fuzz'"


@dataclass(slots=True)
class Checked:
    """*missing* were acknowledged and are not stored, *altered* are stored otherwise, *doubled* twice;
    *strayed* texts did not come back equal. Each as numbers of cases."""

    states: dict[str, int] = field(default_factory=dict)
    missing: list[int] = field(default_factory=list)
    altered: list[int] = field(default_factory=list)
    doubled: list[int] = field(default_factory=list)
    strayed: list[int] = field(default_factory=list)


async def payloads(machine: Machine, judged: Judged) -> Checked:
    """Every acknowledged request against its row."""
    checked = Checked()
    wanted = dict(zip(judged.kept, judged.sums, strict=True))
    seen: set[int] = set()
    async with machine.connection() as connection:
        async with asyncio.timeout(PATIENCE):
            while await connection.fetchval(_WAITING) < len(wanted):  # noqa: ASYNC110
                await asyncio.sleep(0.5)
        async with connection.transaction():
            async for row in connection.cursor(_STORED, prefetch=500):
                checked.states[row["state"]] = checked.states.get(row["state"], 0) + 1
                number = row["number"]
                if number in seen:
                    checked.doubled.append(number)
                elif number in wanted and wanted[number] != checksum(
                    row["body"], row["query"].encode("latin-1")
                ):
                    checked.altered.append(number)
                if number is not None:
                    seen.add(number)
    checked.missing = sorted(wanted.keys() - seen)
    return checked


async def texts(
    api: httpx.AsyncClient,
    numbers: Sequence[int],
    case: Callable[[int], Case],
    progress: Callable[[int], None],
) -> list[int]:
    """The numbers of the cases whose text the API does not give back as it was sent."""
    strayed = []
    for begin in range(0, len(numbers), LOOKUP):
        asked = [case(number) for number in numbers[begin : begin + LOOKUP]]
        answer = await api.post(
            "/v1/messages/lookup", json={"provider_message_ids": [one.message_id for one in asked]}
        )
        answer.raise_for_status()
        found: dict[str, Any] = {
            provider_id: message
            for message in answer.json()["data"]
            if message["direction"] == "inbound"
            for provider_id in message["provider_message_ids"]
        }
        strayed += [one.number for one in asked if found.get(one.message_id, {}).get("text") != one.text]
        progress(len(asked))
    return strayed
