"""What logs say, and what they never say."""

import json
import signal
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from faults.ports import free_port
from postback import logs
from receiver import config, masking
from tests.support import commands
from tests.support.beds import connect
from tests.support.processes import eventually, line, python

#: what must not be seen in any line, as it is and in any usual writing
WORDS = ("Canary-Text-Mallow", "Canary-Text-Heather")
NUMBERS = ("12065557361", "2065557361", "12065558472", "2065558472")
TOKEN, WRONG_TOKEN = "canary-token-7f3c9b", "canary-token-wrong-11aa"
PASSWORD, WRONG_PASSWORD = "canary-password-55d1", "canary-password-wrong"
CARRIER_KEY, SECRET_KEY = "canary-carrier-key-9e", "canary-secret-key-4c"
CREDENTIALS = (TOKEN, WRONG_TOKEN, PASSWORD, WRONG_PASSWORD, CARRIER_KEY, SECRET_KEY)

#: `serve` with a parser that raises what it was given
SERVE = """
import sys
from receiver.providers import PROVIDERS
provider = PROVIDERS["sinch_mms"]
parse = provider.parse
def faulty(request, channel):
    if b"raise-this" in request.body:
        raise ValueError(request.body.decode())
    return parse(request, channel)
object.__setattr__(provider, "parse", faulty)
from postback.cli import main
sys.argv[:1] = ["postback"]
main()
"""

#: a database that quotes what it refuses, in every part of what it says
REFUSING = """
CREATE FUNCTION postback.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    said text := concat(NEW.subject, NEW.text);
BEGIN
    IF said LIKE '%poison%' THEN
        RAISE EXCEPTION 'invalid input syntax for type uuid: "%"', said
            USING ERRCODE = '22P02', DETAIL = said, HINT = said;
    ELSIF said LIKE '%full%' THEN
        RAISE EXCEPTION 'could not extend file "%"', said USING ERRCODE = '53100', DETAIL = said;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER refuse BEFORE INSERT ON postback.message_body FOR EACH ROW EXECUTE FUNCTION postback.refuse();
"""


def settings(database_url: str, carrier: int) -> str:
    return f"""
database_url = "{database_url}"
secret_key = ["{SECRET_KEY}"]
[channels.plain]
provider = "sinch_mms"
tokens = ["{TOKEN}"]
from = ["+18885551234"]
api_key = "{CARRIER_KEY}"
base_url = "http://127.0.0.1:{carrier}/ep/v2/"
[channels.proven]
provider = "sinch_mms"
tokens = ["{TOKEN}"]
basic = "user:{PASSWORD}"
"""


def inbound(number: int, text: str, **more: Any) -> bytes:
    return orjson.dumps(
        {
            "origin": "MMS_MO",
            "code": "N401",
            "from": NUMBERS[0],
            "to": "18885551234",
            "tracking-id": f"mo-{number}",
            "timestamp": "2026-04-24T18:34:00Z",
            "message-subject": text,
            "content": [],
            **more,
        }
    )


def knock(url: str) -> None:
    """Everything that a carrier's door knows to say something about."""
    hook, wrong = f"{url}/hooks/plain/{TOKEN}", f"{url}/hooks/plain/{WRONG_TOKEN}"
    first, second = WORDS
    with httpx.Client(trust_env=False, timeout=20) as client:
        assert 200 == client.post(hook, content=inbound(1, first)).status_code
        assert 404 == client.post(wrong, content=inbound(2, first)).status_code
        for number, body in enumerate(
            [
                f'{{"message-subject": "{first}", "from": "{NUMBERS[0]}", '.encode(),
                inbound(3, f"{first} raise-this {NUMBERS[0]}"),
                inbound(4, f"{second} poison {NUMBERS[2]}"),
                inbound(5, f"{second} \x00 {NUMBERS[2]}"),
                inbound(6, first, timestamp=f"{first} {NUMBERS[0]}"),
                inbound(7, first, origin=f"{first} {NUMBERS[0]}"),
                inbound(8, first, **{"tracking-id": first * 40}),
            ]
        ):
            assert 200 == client.post(hook, content=body).status_code, number
        proven = f"{url}/hooks/proven/{TOKEN}"
        assert (
            401 == client.post(proven, content=inbound(9, first), auth=("user", WRONG_PASSWORD)).status_code
        )
        assert 200 == client.post(proven, content=inbound(9, first), auth=("user", PASSWORD)).status_code
        # Postgres takes nothing: kept elsewhere or refused, but said in either case
        assert client.post(hook, content=inbound(10, f"{second} full")).status_code in (200, 503)


def send(url: str, carrier: str, practice: str, key: str) -> None:
    """Through a carrier that does everything that one can do wrong."""
    headers = {"Authorization": f"Bearer {key}", "X-Request-Id": "the-request"}
    with httpx.Client(trust_env=False, timeout=20, headers=headers) as client:
        for fault in (None, "refused", "closed", "throttled", 500):
            if fault is not None:
                order = {"answer": fault, "next": 1}
                control = {"X-Practice-Key": practice}
                client.post(f"{carrier}/practice/faults", json=order, headers=control).raise_for_status()
            body = {"to": f"+{NUMBERS[0]}", "from": "+18885551234", "text": WORDS[0], "channel": "plain"}
            assert 202 == client.post(f"{url}/v1/messages", json=body).status_code
            time.sleep(0.3)
        refused = client.post(
            f"{url}/v1/messages", json={"to": f"+{NUMBERS[2]}", "text": f"{WORDS[1]} poison"}
        )
        assert refused.status_code >= 400
        client.get(f"{url}/v1/messages", params={"contact": f"+{NUMBERS[0]}"})
        client.get(f"{url}/v1/messages", headers={"Authorization": "Bearer pb_canarykeycanarykey"})
        client.post(f"{url}/v1/messages", content=f'{{"text": "{WORDS[0]}')


@pytest.fixture
async def refusing_url(database_url: str) -> str:
    connection = await connect(database_url)
    await connection.execute(REFUSING)
    await connection.close()
    return database_url


def test_no_process_of_an_installation_logs_a_text_a_number_or_a_credential(
    refusing_url: str, tmp_path: Path
) -> None:
    carrier, port = free_port(), free_port()
    (tmp_path / "postback.toml").write_text(settings(refusing_url, carrier))
    code, key, said = commands.run("keys", "create", "--name", "canary", "--scope", "read,send", cwd=tmp_path)
    assert 0 == code, said
    serve = [sys.executable, "-c", SERVE, "serve", "--port", str(port)]
    url = f"http://127.0.0.1:{port}"
    with (
        commands.postback("simulate", "--port", str(carrier), "--callbacks", url, cwd=tmp_path) as simulate,
        commands.started(serve, cwd=tmp_path, env=commands.environment()) as receiver,
        commands.postback("send", cwd=tmp_path) as sender,
    ):
        simulate.ready()
        receiver.ready()
        sender.says("sending")
        _, practice, _ = commands.run("practice-key", cwd=tmp_path)
        send(url, f"http://127.0.0.1:{carrier}", practice.strip(), key.strip())
        knock(url)
        assert eventually(lambda: len([said for said in sender.errors if '"called"' in said]) >= 5, 20)
        for process in (sender, receiver, simulate):
            process.ends(signal.SIGTERM)
        everything = "".join([*receiver.errors, *sender.errors, *simulate.errors])

    for event in (
        "unreadable",
        "parser failed",
        "quarantined",
        "unverified",
        "Postgres takes nothing",
        "called",
    ):
        assert f'"event": "{event}"' in everything, f"{event} was never logged: {everything}"
    seen = [
        canary
        for canary in (*WORDS, *NUMBERS, *CREDENTIALS, key.strip())
        if canary.lower() in everything.lower()
    ]
    assert [] == seen, [text for text in everything.splitlines() if any(canary in text for canary in seen)]
    for text in everything.splitlines():
        assert "timestamp" in json.loads(text), text


LIBRARIES = """
import asyncio, logging, sys, warnings
from postback import logs
from receiver import config
import structlog
logs.configure()
logs.hide(config.settings({"secret_key": ["a-secret-key-itself"], "channels": {"c": {
    "provider": "sinch_mms", "tokens": ["a-token-of-tests"], "api_key": "a-carriers-key"}}}))
log = structlog.get_logger()
class DataError(Exception): pass
def fail():
    words = "invalid input for query argument $1: 'Canary' (expected int)"
    raise DataError(words + "\\nDETAIL:  Key (contact)=(Canary)")
try:
    fail()
except DataError as error:
    logging.getLogger("uvicorn.error").error("Exception in ASGI application\\n", exc_info=True)
    try:
        raise KeyError("Canary") from error
    except KeyError:
        log.exception("chained", contact="+12065550123", url="/hooks/c/a-token-of-tests",
                      numbers=["12065550123"])
logging.getLogger("asyncpg").warning("Failing row\\nDETAIL: Canary %s", "+12065550123")
warnings.warn("Canary".lower() and "a-carriers-key is old")
log.info("kept", id="01a1fe26-03e7-77a1-9f77-ad30cc7fa50f", at="2026-11-21T14:00:00.000Z", number=7,
    reason="a key a-secret-key-itself", more={"authorization": "Bearer abcdefghijk"},
    key="pb_0123456789abcdef.uIA53R6b5_xeU7SjPaq")
async def task():
    asyncio.create_task(broken())
    await asyncio.sleep(0)
async def broken():
    raise KeyError("Canary +12065550123")
asyncio.run(task())
import gc; gc.collect()
print("end", flush=True)
"""


@pytest.fixture(scope="module")
def lines() -> list[dict[str, Any]]:
    with python(LIBRARIES) as process:
        assert "end" == line(process)
        _, said = process.communicate()
    return [json.loads(text) for text in said.splitlines()]


def test_what_libraries_log_goes_the_same_way(lines: list[dict[str, Any]]) -> None:
    assert {"uvicorn.error", "asyncpg", "py.warnings", "asyncio"} == {
        said["logger"] for said in lines if "logger" in said
    }
    assert all({"event", "level", "timestamp"} <= said.keys() for said in lines)


def test_an_exception_is_told_by_kind_and_place_and_not_by_what_it_quotes(
    lines: list[dict[str, Any]],
) -> None:
    [chained] = [said for said in lines if said["event"] == "chained"]

    assert chained["exception"].startswith("KeyError: •••\n")
    assert "DataError: invalid input for query argument $1\n" in chained["exception"]
    assert " fail" in chained["exception"]
    assert "Canary" not in json.dumps(lines)


def test_numbers_and_credentials_are_masked_wherever_they_stand(lines: list[dict[str, Any]]) -> None:
    [chained] = [said for said in lines if said["event"] == "chained"]
    [kept] = [said for said in lines if said["event"] == "kept"]

    assert "+1206•••0123" == chained["contact"]
    assert ["•••0123"] == chained["numbers"]
    assert "/hooks/c/•••" == chained["url"]
    assert "a key •••" == kept["reason"]
    assert {"authorization": "Bearer •••"} == kept["more"]
    assert "pb_•••" == kept["key"]
    for secret in ("a-token-of-tests", "a-secret-key-itself", "a-carriers-key"):
        assert secret not in json.dumps(lines)


def test_ids_moments_and_plain_numbers_stay_as_they_are(lines: list[dict[str, Any]]) -> None:
    [kept] = [said for said in lines if said["event"] == "kept"]

    assert "01a1fe26-03e7-77a1-9f77-ad30cc7fa50f" == kept["id"]
    assert "2026-11-21T14:00:00.000Z" == kept["at"]
    assert 7 == kept["number"]
    assert "192.168.100.200:54321" == masking.text("192.168.100.200:54321")


def test_every_credential_of_the_settings_is_known() -> None:
    given = config.settings(
        {
            "database_url": "postgresql://u:the-db-word@127.0.0.1/db",
            "secret_key": ["the-secret-key-itself"],
            "channels": {
                "c": {
                    "provider": "sinch_sms",
                    "tokens": ["the-token-of-tests"],
                    "basic": "user:the-password",
                    "bearer": ["the-bearer", "the-older-bearer"],
                    "webhook_secret": "the-webhook-secret",
                    "api_token": "the-api-token",
                }
            },
        }
    )

    credentials = set(logs.credentials(given))

    assert {
        "the-db-word", "the-secret-key-itself", "the-token-of-tests", "the-password", "user:the-password",
        "the-bearer", "the-older-bearer",
        "the-webhook-secret", "the-api-token",
    } <= credentials  # fmt: skip
