"""One item of a batch that cannot be stored, among many that can."""

import asyncio
from collections.abc import Mapping

from benchmarks.traffic import ExternalReports
from faults.audit import Balance
from faults.callers import Answer, Callers
from faults.door_poisoned import RAISES, WAYS
from faults.journal import OK
from faults.machine import Machine, machine
from faults.rows import Result, Run, row

#: requests at once: they gather to a batch while the one before it commits
NEIGHBOURS = 120
#: what is in the text of a report, what is done to it (`faults.door_poisoned`), and the state in which its
#: request is to be kept: what the product's parser takes out by itself costs the report nothing
SPOILT = [
    *((b"as it should be", word.encode(), "quarantined") for word in (*WAYS, RAISES)),
    (rb"a NUL, \u0000, in the text", b"read", "applied"),
    (rb"half a pair, \ud800, in the text", b"read", "applied"),
    (b"bytes, \xff\xfe, that are no UTF-8", b"read", "applied"),
    (b'", "code": ' + b"9" * 4000 + b', "x": "', b"read", "applied"),
    (b'"', b"read", "quarantined"),
]
#: the audit of the other rows reads bodies as JSON in Postgres, which takes none of these
_KEPT = """
SELECT p.body, p.state, count(e.id) AS events, count(DISTINCT p.id) AS payloads
FROM postback.payload p LEFT JOIN postback.event e ON e.payload_id = p.id
GROUP BY p.body, p.state
"""


@row(
    7,
    "poison",
    "a poisoned item in a batch: NUL, lone surrogates, what no column takes, a parser that raises",
    "its neighbours are committed, it is quarantined and answered 2xx",
)
async def poison(run: Run) -> Result:
    rounds, result = 2 if run.short else 20, Result()
    async with machine() as served:
        await served.database()
        program = await served.program("faults.door_poisoned", "serve", "--port", str(served.port))
        neighbours = Callers(served.address, ExternalReports(), run.journal("neighbours"))
        poisoned = Callers(served.address, _Poisoned(), run.journal("poisoned"))
        for number in range(rounds):
            run.progress(f"round {number + 1} of {rounds}")
            await asyncio.gather(
                *(neighbours.call(number * NEIGHBOURS + place) for place in range(NEIGHBOURS)),
                *(poisoned.call(number * len(SPOILT) + place) for place in range(len(SPOILT))),
            )
        kept = await _kept(served)
        neighbours.hang_up()
        poisoned.hang_up()
        result.demand(program.alive, "the web process died")
    result.add(_balance(neighbours.answers, ExternalReports(), kept))
    result.rounds = rounds
    _judge(result, poisoned.answers, kept)
    return result


class _Poisoned:
    """Reports of which each is spoilt in a way of its own, one after the other."""

    def body(self, serial: int) -> bytes:
        said, word, _ = SPOILT[serial % len(SPOILT)]
        return _REPORT % (said, b"poison-%d" % serial, word)


_REPORT = (
    b'{"origin":"MMS_MT","code":"N101","status":"Sent","status-details":"%s","to":"12065550123",'
    b'"from":"18885550100","timestamp":"2026-11-21T09:00:01Z","tracking-id":"%s","operator-id":"%s"}'
)


async def _kept(served: Machine) -> dict[bytes, tuple[str, int, int]]:
    """By body: the state, and how many events and payloads there are of it."""
    async with served.connection() as connection:
        return {row[0]: (row[1], row[2], row[3]) for row in await connection.fetch(_KEPT)}


def _balance(
    answers: list[Answer], said: ExternalReports, kept: Mapping[bytes, tuple[str, int, int]]
) -> Balance:
    """Each neighbour is applied, with one event."""
    acknowledged = [said.body(answer.serial) for answer in answers if answer.outcome == OK]
    found = [kept.get(body, ("nowhere", 0, 0)) for body in acknowledged]
    return Balance(
        requests=len(answers),
        acknowledged=len(acknowledged),
        lost=sum(state != "applied" or not events for state, events, _ in found),
        doubled=sum(events > 1 or payloads > 1 for _, events, payloads in found),
    )


def _judge(result: Result, answers: list[Answer], kept: Mapping[bytes, tuple[str, int, int]]) -> None:
    states = [kept.get(_Poisoned().body(answer.serial), ("nowhere", 0, 0))[0] for answer in answers]
    expected = [SPOILT[answer.serial % len(SPOILT)][2] for answer in answers]
    unlike = {
        f"{SPOILT[answer.serial % len(SPOILT)][:2]}: {state}"
        for answer, state, right in zip(answers, states, expected, strict=True)
        if state != right
    }
    unanswered = result.requests - result.acknowledged + sum(answer.outcome != OK for answer in answers)
    result.requests += len(answers)
    result.acknowledged += sum(answer.outcome == OK for answer in answers)
    result.figures = {
        "poisoned": len(answers),
        "quarantined": states.count("quarantined"),
        "read all the same": states.count("applied"),
        "not as expected": len(unlike),
    }
    result.demand(not unanswered, f"{unanswered} requests were not answered 2xx")
    result.demand(not unlike, f"kept otherwise: {sorted(unlike)}")
