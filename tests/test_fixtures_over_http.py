"""The golden fixtures of every carrier once more, through real HTTP into real Postgres."""

from typing import Any

import pytest

from tests.support.cases import NAMES, Case, channel_of, read_cases, request_of
from tests.support.receiver import Receiver, running


def is_plain(case: Case) -> bool:
    """A callback under the channel's own configuration; signatures, and probes without a body, have tests of
    their own."""
    if "request" not in case.says or {"channel", "authentic"} & case.says.keys():
        return False
    request = request_of(case.says["request"])
    return bool(request.body or request.query)


@pytest.mark.parametrize("name", NAMES)
async def test_what_a_carrier_sends_is_stored_as_its_fixture_says(database_url: str, name: str) -> None:
    cases = [case for case in read_cases(name) if is_plain(case)]
    async with running(database_url, {name: _channel(name)}) as receiver:
        differing = []
        for case in cases:
            await receiver.empty()
            expected = _expected(case)
            stored = await _stored(receiver, case)
            if expected != stored:
                differing.append((case.label, expected, stored))

    assert len(cases) > 10
    assert [] == differing


def _channel(name: str) -> dict[str, Any]:
    given = channel_of(name).model_dump(by_alias=True, exclude_defaults=True, exclude={"name"})
    # credentials belong to the door, which has tests of its own
    return {
        **given,
        "tokens": ["a-token-of-tests"],
        "webhook_secret": None,
        "basic": None,
        "bearer": None,
    }


def _expected(case: Case) -> tuple[int, str, list[tuple[str | None, str | None]]]:
    """The answer, the payload's state, and of each event its status and the carrier's word."""
    success, _ = case.provider.acknowledge()
    if "expected" not in case.says:
        return success, "quarantined", []
    told = [
        (entry["report"].get("status"), entry["report"].get("provider_status"))
        if "report" in entry
        else ("received", entry["inbound"].get("provider_status"))
        for entry in case.says["expected"]
        if "template" not in entry
    ]
    return success, "applied", told


async def _stored(receiver: Receiver, case: Case) -> tuple[int, str, list[tuple[str | None, str | None]]]:
    request = request_of(case.says["request"])
    url = receiver.hook(case.provider_name) + (f"?{request.query.decode()}" if request.query else "")
    answer = await receiver.client.request(
        request.method, url, content=request.body, headers=dict(request.headers)
    )
    [payload] = await receiver.payloads()
    events = await receiver.rows(
        "SELECT status, provider_status FROM postback.event WHERE type LIKE 'message.%' ORDER BY seq"
    )
    assert request.body == payload["body"]
    return answer.status_code, payload["state"], [(event[0], event[1]) for event in events]
