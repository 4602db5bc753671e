"""/v1/payloads: what carriers sent, as it came."""

from starlette.responses import Response

from receiver.api.operation import Ask, Nothing, Operation, json
from receiver.api.reading import path_id
from receiver.auth import Scope
from receiver.problems import not_found
from receiver.read import payloads, shapes
from receiver.read.filters import PayloadFilters, Query


async def list_payloads(ask: Ask[PayloadFilters, Nothing]) -> Response:
    return json(await payloads.payloads(ask.context.engine, ask.query, channels=ask.channels))


async def get_payload(ask: Ask[Query, Nothing]) -> Response:
    payload = await payloads.payload(ask.context.engine, path_id(ask.request), channels=ask.channels)
    if payload is None:
        raise not_found()
    return json(payload)


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
)
