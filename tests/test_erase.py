"""A number that is erased stands nowhere any more, and is left alone all the same."""

import re
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from uuid_utils.compat import uuid7

from receiver.erase.number import wanted
from tests.support import commands, receiver
from tests.support.receiver import CHANNEL, Receiver
from tests.support.traces import everything, holds

pytestmark = pytest.mark.stock

THEM, OTHER, US = "+12065550123", "+12065550124", "+18885551234"
FORMS = [
    "+12065550123",
    "12065550123",
    "2065550123",
    "(206) 555-0123",
    "+1 206-555-0123",
    "206.555.0123",
    "1-206-555-0123",
    "%2B12065550123",
    "001 206 555 0123",
    "206%20555%200123",
    "(206)\u00a0555-0123",
]


@pytest.mark.parametrize("form", FORMS)
def test_a_number_is_found_in_every_way_of_writing_it(form: str) -> None:
    pattern = wanted(THEM).pattern

    assert re.search(pattern, f"call {form}, please")
    assert re.search(pattern, orjson.dumps({"to": form}).decode())
    assert "call +1206555XXXX, please" == re.sub(pattern, wanted(THEM).masked, f"call {form}, please")


@pytest.mark.parametrize("form", ["+442065550123", "12065550124", "120655501234", "92065550123", "2065550"])
def test_another_number_is_left_alone(form: str) -> None:
    assert None is re.search(wanted(THEM).pattern, form)


@given(st.from_regex(r"\A\+1[2-9][0-9]{9}\Z"), st.text(max_size=20), st.text(max_size=20))
def test_whatever_stands_around_it_it_is_found(number: str, before: str, after: str) -> None:
    if before[-1:].isdigit() or after[:1].isdigit():
        return

    assert re.search(wanted(number).pattern, f"{before}{number}{after}")


async def places(here: Receiver) -> list[str]:
    found = await everything(here.settings.database_url, here.settings.data_dir)
    return [place for place, data in found.items() if holds(data)]


async def fill(here: Receiver) -> dict[str, Any]:
    """The number through every door; answers with the messages that were sent."""
    headers = {"Authorization": f"Bearer {here.key}"}

    async def send(to: str, **fields: Any) -> dict[str, Any]:
        body = {"to": to, "text": f"Hello {to}", **fields}
        answer = await here.client.post(
            f"{here.url}/v1/messages",
            json=body,
            headers={**headers, "Idempotency-Key": f"for {to} {uuid7()}"},
        )
        assert 202 == answer.status_code, answer.text
        message: dict[str, Any] = answer.json()["data"][0]
        return message

    card = ("2065550123.vcf", b"BEGIN:VCARD\nTEL:(206) 555-0123\nEND:VCARD\n", "text/vcard")
    upload = await here.client.post(f"{here.url}/v1/media", files={"file": card}, headers=headers)
    assert 201 == upload.status_code, upload.text
    sent = {
        "theirs": await send(
            THEM, metadata={"phones": FORMS, "bare": 12065550123}, client_reference="c 2065550123"
        ),
        "with_file": await send(THEM, media=[{"id": upload.json()["id"]}]),
        "others": await send(OTHER, text=f"Ask {FORMS[3]} or {FORMS[7]}", metadata={"ask": [12065550123]}),
    }
    template = {"channel": CHANNEL, "name": "t 2065550123", "text": "Call +1 206-555-0123", "subject": "Us"}
    await here.client.post(f"{here.url}/v1/templates", json=template, headers=headers)
    for number, form in enumerate(FORMS):
        stop = {
            "code": "N401", "origin": "MMS_MO", "tracking-id": f"mo-{number}", "from": "12065550123",
            "to": "18885551234", "message-subject": f"from {form}", "status": form,
        }  # fmt: skip
        await here.client.post(here.hook(), json=stop)
        report = {
            "code": "N101", "origin": "MMS_MT", "tracking-id": f"mt-{number}", "from": "18885551234",
            "to": "12065550123", "client-reference": f"ref {form}", "status": f"sent to {form}",
        }  # fmt: skip
        await here.client.post(here.hook(), json=report)
        await here.client.post(
            here.hook(), json={**report, "tracking-id": f"o-{number}", "to": "12065550124"}
        )
        await here.client.post(here.hook() + f"?n={form}", content=f"nonsense {form}".encode())
        await here.client.post(here.hook(), content=b"\xe9" + form.encode() + b"\xe9")
    await here.client.post(here.hook(), json=report)
    stop = {"code": "N401", "tracking-id": "stop", "from": "12065550123", "to": "18885551234"}
    await here.client.post(here.hook(), json={**stop, "message-subject": "STOP"})
    await here.client.put(f"{here.url}/v1/opt-outs/*/{THEM}", headers=headers)
    return sent


async def test_after_an_erase_no_table_and_no_file_holds_the_number(
    database_url: str, tmp_path: Path
) -> None:
    data_dir = tmp_path / "data"
    async with receiver.running(
        database_url, data_dir=str(data_dir), public_url="https://sms.example.com"
    ) as here:
        sent = await fill(here)
        before = await places(here)
        dry = commands.run("erase", THEM, "--dry-run", cwd=tmp_path, **_environment(database_url, data_dir))
        assert 0 == dry[0], dry[2]
        assert before == await places(here)

        code, out, err = commands.run(
            "erase", "(206) 555-0123", "--yes", cwd=tmp_path, **_environment(database_url, data_dir)
        )

        assert 0 == code, err
        assert {
            "message",
            "message_body",
            "event",
            "payload",
            "opt_out",
            "template",
            "file",
            "conversation",
        } <= {re.sub(r"_p_.*| .*", "", place) for place in before}
        assert any(place.startswith(str(data_dir / "media")) for place in before)
        assert [] == await places(here)
        assert "messages emptied" in out
        headers = {"Authorization": f"Bearer {here.key}"}
        theirs = (
            await here.client.get(f"{here.url}/v1/messages/{sent['theirs']['id']}", headers=headers)
        ).json()
        others = (
            await here.client.get(f"{here.url}/v1/messages/{sent['others']['id']}", headers=headers)
        ).json()
        assert ("+1206555XXXX", None, US, {}) == (
            theirs["to"],
            theirs["text"],
            theirs["from"],
            theirs["metadata"],
        )
        assert "redacted_at" in theirs
        assert ("rejected", OTHER) == (theirs["status"], others["to"])
        assert "Ask +1206555XXXX or +1206555XXXX" == others["text"]
        assert {"ask": ["+1206555XXXX"]} == others["metadata"]


async def test_who_was_erased_stays_opted_out_and_may_come_back(database_url: str, tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    async with receiver.running(database_url, data_dir=str(data_dir)) as here:
        headers = {"Authorization": f"Bearer {here.key}"}
        word = {"code": "N401", "origin": "MMS_MO", "from": "12065550123", "to": "18885551234"}
        await here.client.post(here.hook(), json={**word, "tracking-id": "1", "message-subject": "STOP"})
        code, _, err = commands.run(
            "erase", THEM, "--yes", cwd=tmp_path, **_environment(database_url, data_dir)
        )
        assert 0 == code, err

        async def send() -> str:
            body = {"to": THEM, "text": "Hello"}
            answer = await here.client.post(f"{here.url}/v1/messages", json=body, headers=headers)
            status: str = answer.json()["data"][0]["status"]
            return status

        refused = await send()
        pair = (await here.client.get(f"{here.url}/v1/opt-outs/{US}/{THEM}", headers=headers)).json()
        page = (await here.client.get(f"{here.url}/v1/opt-outs", headers=headers)).json()["data"]
        await here.client.post(here.hook(), json={**word, "tracking-id": "2", "message-subject": "START"})

        assert "rejected" == refused
        assert (True, "stop", 1) == (pair["opted_out"], pair["word"], len(pair["ledger"]))
        assert ["+1206555XXXX"] == [row["contact"] for row in page]
        assert "accepted" == await send()


async def test_an_erase_asks_first_and_refuses_what_is_no_number(database_url: str, tmp_path: Path) -> None:
    environment = _environment(database_url, tmp_path)

    unasked = commands.run("erase", THEM, cwd=tmp_path, **environment)
    wrong = commands.run("erase", "everything", "--yes", cwd=tmp_path, **environment)

    assert 1 == unasked[0]
    assert (1, "") == wrong[:2]
    # a pooler in between is told of before, as a line of the log
    assert 1 == len([line for line in wrong[2].splitlines() if not line.startswith("{")])


async def test_a_redacted_message_keeps_its_timeline_and_nothing_of_its_person(
    database_url: str, tmp_path: Path
) -> None:
    async with receiver.running(
        database_url, data_dir=str(tmp_path), public_url="https://sms.example.com"
    ) as here:
        headers = {"Authorization": f"Bearer {here.key}"}
        upload = await here.client.post(
            f"{here.url}/v1/media",
            content=b"BEGIN:VCARD\nEND:VCARD\n",
            headers={**headers, "Content-Type": "text/vcard"},
        )
        body = {"to": THEM, "text": "Hello", "media": [{"id": upload.json()["id"]}]}
        sent = await here.client.post(f"{here.url}/v1/messages", json=body, headers=headers)
        path = f"{here.url}/v1/messages/{sent.json()['data'][0]['id']}"
        waiting = await here.client.post(f"{path}/redact", headers=headers)
        await here.client.post(f"{path}/cancel", headers=headers)
        assert 1 == len([file for file in (tmp_path / "media").rglob("*") if file.is_file()])

        redacted = (await here.client.post(f"{path}/redact", headers=headers)).json()
        again = (await here.client.post(f"{path}/redact", headers=headers)).json()

        assert (409, "not_cancelable") == (waiting.status_code, waiting.json()["code"])
        assert ("+1206555XXXX", US, None, [], "canceled") == tuple(
            redacted[name] for name in ("to", "from", "text", "media", "status")
        )
        assert ["message.accepted", "message.canceled"] == [event["type"] for event in redacted["timeline"]]
        assert redacted == again
        assert [] == [file for file in (tmp_path / "media").rglob("*") if file.is_file()]
        assert [] == await here.rows("SELECT * FROM postback.file")


async def test_an_inbound_message_loses_its_raw_request_when_it_is_redacted(
    database_url: str, tmp_path: Path
) -> None:
    async with receiver.running(database_url, data_dir=str(tmp_path)) as here:
        headers = {"Authorization": f"Bearer {here.key}"}
        word = {
            "code": "N401", "origin": "MMS_MO", "from": "12065550123", "to": "18885551234",
            "tracking-id": "1", "message-subject": "My number is 2065550123",
        }  # fmt: skip
        await here.client.post(here.hook(), json=word)
        await here.client.post(here.hook(), json=word)
        [message] = (await here.client.get(f"{here.url}/v1/messages", headers=headers)).json()["data"]

        await here.client.post(f"{here.url}/v1/messages/{message['id']}/redact", headers=headers)

        assert [] == await here.payloads()
        assert {"conversation"} == {place.split()[0] for place in await places(here)}


def _environment(database_url: str, data_dir: Path) -> dict[str, str]:
    return {
        "DATABASE_URL": database_url,
        "POSTBACK_SECRET_KEY": "a secret key for tests",
        "POSTBACK_DATA_DIR": str(data_dir),
    }
