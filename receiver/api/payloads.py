"""/v1/payloads: what carriers sent, as it came, and how to read it again."""

from datetime import UTC, datetime
from functools import partial

from starlette.responses import Response

from receiver.api.operation import Ask, Nothing, Operation, json
from receiver.api.reading import cursor, path_id
from receiver.auth import Scope
from receiver.kept import Selection
from receiver.problems import not_found
from receiver.read import ids, payloads, shapes
from receiver.read.filters import PayloadFilters, Query
from receiver.replay import START
from receiver.replayed import Summary
from receiver.requests import ReplayRequest


async def list_payloads(ask: Ask[PayloadFilters, Nothing]) -> Response:
    return json(await payloads.payloads(ask.context.engine, ask.query, channels=ask.channels))


async def get_payload(ask: Ask[Query, Nothing]) -> Response:
    payload = await payloads.payload(ask.context.engine, path_id(ask.request), channels=ask.channels)
    if payload is None:
        raise not_found()
    return json(payload)


_place = partial(ids.id_at, of=ids.Walked.REPLAYED)


async def replay(ask: Ask[Query, ReplayRequest]) -> Response:
    asked = ask.body
    selection = Selection(
        state=asked.state,
        channel=asked.channel,
        since=asked.since,
        # what arrives from now on is no part of it, or a busy channel would never come to an end
        until=min(asked.until or datetime.max.replace(tzinfo=UTC), datetime.now(UTC)),
        ids=asked.ids,
        visible=ask.channels,
    )
    run = ask.context.replay.predict if asked.dry_run else ask.context.replay.run
    after = START if asked.cursor is None else cursor(asked.cursor, _place, "/cursor")
    summary = Summary()
    async for part in run(selection, after=after, most=asked.limit):
        summary.add(part)
    return json(_answer(summary, asked))


def _answer(summary: Summary, asked: ReplayRequest) -> shapes.ReplayAnswer:
    ended = len(summary.payloads) < asked.limit
    return shapes.ReplayAnswer.model_validate(
        {
            "dry_run": asked.dry_run,
            "states": dict(summary.states),
            "events_written": summary.written,
            "events_superseded": summary.superseded,
            "payloads": [
                {"id": one.id, "state_before": one.before, "state": one.after, "reason": one.reason}
                for _, one in sorted(summary.payloads.items())
            ],
            "messages": [
                {
                    "id": one.id,
                    "channel": one.channel,
                    "status_before": one.before,
                    "status": one.after,
                    "events_written": one.written,
                }
                for _, one in sorted(summary.messages.items())
            ],
            "next_cursor": None if ended else ids.cursor_of_id(max(summary.payloads), ids.Walked.REPLAYED),
        }
    )


OPERATIONS = (
    Operation(
        "GET",
        "/v1/payloads",
        list_payloads,
        "List carriers' requests, newest first",
        Scope.ADMIN,
        PayloadFilters,
        Nothing,
        shapes.PayloadList,
    ),
    Operation(
        "GET",
        "/v1/payloads/{id}",
        get_payload,
        "Read a carrier's request",
        Scope.ADMIN,
        Query,
        Nothing,
        shapes.Payload,
    ),
    Operation(
        "POST",
        "/v1/payloads/replay",
        replay,
        "Read kept requests again, with today's understanding",
        Scope.ADMIN,
        Query,
        ReplayRequest,
        shapes.ReplayAnswer,
        undecided="Ask again with the same cursor: what was read again stays as it was understood.",
    ),
)
