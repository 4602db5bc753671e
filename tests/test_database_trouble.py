"""Whose fault a refusal of Postgres is: the caller's for what he sent, nobody's who called for all else."""

from typing import Any

import asyncpg
import pytest

from tests.support.installation import THEM, installation

#: words of a server that no caller is to read
TOLD = 'could not open file "base/16384/2619" of the server'

_REFUSE = """
CREATE OR REPLACE FUNCTION postback.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION '{said}' USING ERRCODE = '{state}', DETAIL = '{said}', HINT = '{said}'; END $$
"""
_TRIGGER = """
CREATE TRIGGER refuse BEFORE INSERT ON postback.message_body FOR EACH ROW EXECUTE FUNCTION postback.refuse()
"""

TROUBLE = (
    "0A000", "25006", "26000", "42703", "42P01", "42P05", "42501", "53100", "53200", "55000", "57014",
    "57P01", "58000", "58030", "58P01", "F0000", "P0001", "XX000", "XX001", "XX002", "23514",
)  # fmt: skip
FAULTS = ("22021", "22P05", "22001", "22003", "23502", "23505", "54000")


@pytest.mark.parametrize("states", [TROUBLE, FAULTS])
async def test_only_what_the_content_is_refused_for_is_the_callers_fault(
    database_url: str, db: asyncpg.Connection, states: tuple[str, ...]
) -> None:
    expected = 422 if states is FAULTS else 503
    answers = {}
    async with installation(database_url, sender=False) as here:
        await db.execute(_REFUSE.format(said=TOLD, state="XX000"))
        await db.execute(_TRIGGER)
        for state in states:
            await db.execute(_REFUSE.format(said=TOLD, state=state))
            answer = await here.api.post("/v1/messages", json={"to": THEM, "text": "Hello"})
            answers[state] = answer.status_code
            if answer.status_code == 503:
                assert "Retry-After" in answer.headers
                assert "base/" not in answer.text

    assert dict.fromkeys(states, expected) == answers


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/v1/messages", None),
        ("POST", "/v1/messages/lookup", {"client_references": ["order-42"]}),
        ("GET", "/v1/conversations", None),
        ("GET", "/v1/events", None),
        ("GET", "/v1/payloads", None),
        ("PUT", "/v1/opt-outs/+18885551234/+12065550123", None),
    ],
)
async def test_a_database_that_is_not_as_it_should_be_is_unavailable(
    database_url: str, db: asyncpg.Connection, method: str, path: str, body: Any
) -> None:
    async with installation(database_url, sender=False) as here:
        for table in ("message", "conversation", "event", "payload", "opt_out"):
            await db.execute(f"ALTER TABLE postback.{table} RENAME TO away_{table}")
        answer = await here.api.request(method, path, json=body)

    assert (503, "unavailable") == (answer.status_code, answer.json()["code"])
    assert "Retry-After" in answer.headers
    assert "postback." not in answer.text
