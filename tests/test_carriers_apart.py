"""What only some carriers do: they wait to be asked, sign what they say, or call things by other names."""

import asyncio
from typing import Any

import pytest

from tests.support.installation import Installation, installation

US, THEM = "+61491570006", "+61491570156"
AUSTRALIAN: dict[str, Any] = {"from": [US], "default_region": "AU"}


async def _change_account(home: Installation, **changed: Any) -> None:
    account = home.account.model_dump() | changed
    assert (await home.carrier.post("/practice/accounts", json=account)).is_success


async def test_replies_that_wait_at_cellcast_are_fetched_once(database_url: str) -> None:
    async with installation(database_url, "cellcast", poll=1, **AUSTRALIAN) as home:
        await _change_account(home, callback_url=None)
        for number in range(30):
            reply = {"from": THEM, "to": US, "text": f"Reply {number}"}
            await home.carrier.post("/practice/inbound", json=reply)

        messages = await home.listed(30, direction="inbound")

        assert {f"Reply {number}" for number in range(30)} == {message["text"] for message in messages}
        assert {(THEM, US)} == {(message["from"], message["to"]) for message in messages}
        await asyncio.sleep(1.5)  # it looks again, and they still wait there
        assert 30 == len(await home.listed(30, direction="inbound"))


@pytest.mark.parametrize(
    ("report", "status", "source"), [("lost", "delivered", "report"), ("silent", "unconfirmed", "timer")]
)
async def test_cellcast_is_asked_what_became_of_a_message_that_stays_silent(
    database_url: str, report: str, status: str, source: str
) -> None:
    async with installation(database_url, "cellcast", report_window=1, **AUSTRALIAN) as home:
        await home.order(report=report)

        message = await home.until((await home.send(THEM))["id"], status)

        assert source == next(event["source"] for event in message["timeline"] if event["status"] == status)


async def test_sinchs_signatures_are_made_and_believed_with_the_same_secret(database_url: str) -> None:
    async with installation(database_url, "sinch_sms", webhook_secret="a secret", tokens=[]) as home:
        await home.until((await home.send())["id"], "delivered")

        assert 401 == (await home.hook(b"{}")).status_code


@pytest.mark.parametrize("api", ["2", "2.2"])
async def test_voicetels_callbacks_are_understood_in_its_own_names_too(database_url: str, api: str) -> None:
    async with installation(database_url, "voicetel", api=api, expects_reports=True) as home:
        await _change_account(home, shape="names")

        sent = await home.until((await home.send())["id"], "delivered")
        reply = {"from": sent["to"], "to": sent["from"], "text": "Yes", "files": ["https://m.example/a.png"]}
        await home.carrier.post("/practice/inbound", json=reply)

        [inbound] = await home.listed(1, direction="inbound")
        assert ("Yes", "mms", 1) == (inbound["text"], inbound["kind"], len(inbound["media"]))
        assert sent["conversation_id"] == inbound["conversation_id"]


@pytest.mark.parametrize(
    "proof", [{"basic": "us:secret"}, {"bearer": "a-token-of-tests"}, {"bearer": ["new", "old"]}], ids=str
)
async def test_a_carrier_proves_itself_as_the_channel_demands(
    database_url: str, proof: dict[str, Any]
) -> None:
    async with installation(database_url, "swift", tokens=[], **proof) as home:
        await home.until((await home.send())["id"], "delivered")

        assert 401 == (await home.hook(b"{}")).status_code


async def test_a_swift_report_that_names_no_message_is_kept_beside_the_message(database_url: str) -> None:
    """The answer has named the message by then; a report that does not is never put upon it."""
    async with installation(database_url, "swift") as home:
        await home.order(report="unnamed", late=0.3)
        sent = await home.send()
        kept = await home.listed(1, status="delivered")

        assert [("external", sent["to"])] == [(message["origin"], message["to"]) for message in kept]
        assert "queued" == (await home.message(sent["id"]))["status"]


WORDS = [
    ("sinch_sms", "undispatched", "delivered"),
    ("sinch_sms", "aborted", "failed"),
    ("sinch_sms", "cancelled", "canceled"),
    ("sinch_sms", "deleted", "undelivered"),
    ("sinch_sms", "no_receipt", "unconfirmed"),
    ("sinch_sms", "failed_with_code_0", "undelivered"),
    ("swift", "undelivered", "undelivered"),
    ("swift", "error_code", "rejected"),
    ("voicetel", "deleted", "undelivered"),
    ("voicetel", "no_receipt", "unconfirmed"),
    ("cellcast", "aborted", "failed"),
    ("cellcast", "no_receipt", "unconfirmed"),
    ("cellcast", "bare", "delivered"),
    ("cellcast_v1", "dead", "undelivered"),
    ("cellcast_v1", "received", "delivered"),
    ("cellcast_v1", "misspelt", "delivered"),
]


@pytest.mark.parametrize("provider", sorted({provider for provider, _, _ in WORDS}))
async def test_a_carriers_own_words_end_where_they_should(database_url: str, provider: str) -> None:
    words = {report: status for name, report, status in WORDS if name == provider}
    australian = provider.startswith("cellcast")
    async with installation(
        database_url, provider, **(AUSTRALIAN if australian else {}), expects_reports=True
    ) as home:
        ids = {}
        for place, report in enumerate(words):
            to = f"{THEM[:-1] if australian else '+1206555012'}{place}"
            await home.order(report=report, to=to)
            ids[report] = (await home.send(to))["id"]

        assert words == {report: (await home.until(ids[report], words[report]))["status"] for report in words}
