"""Addresses of files: whose word they are made by, how long they open, and what carriers are given."""

import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest

from models.sends import OutgoingMedia, StoredFile, Submission
from receiver import masking, secrets
from receiver.forward import letters
from receiver.forward.letters import Letter, Letters
from receiver.media import Links, links, store_of
from receiver.redactions import Redactions
from sender.files import OutgoingFiles
from tests.support.installation import installation
from tests.support.media import JPEG, PNG, THEM, Home, home, inbound_mms, received

DAY = 86400
ELSEWHERE = {"host": "evil.example", "x-forwarded-proto": "javascript"}
PROXY = {"host": "sms.example.com", "x-forwarded-proto": "https"}


@pytest.fixture
async def here(database_url: str, tmp_path: Path) -> AsyncIterator[Home]:
    async with home(database_url, tmp_path) as found:
        yield found


@pytest.fixture
def calendar(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The clock of addresses: *days* from now."""
    shown = SimpleNamespace(days=0)
    monkeypatch.setattr(links, "time", SimpleNamespace(time=lambda: time.time() + shown.days * DAY))
    return shown


async def told(here: Home, headers: dict[str, str]) -> list[str]:
    """The addresses that a caller with *headers* is given: of an upload, its send, a file that came in."""
    uploaded = await here.post("/v1/media", content=PNG, headers=headers)
    body = {"channel": "sinch", "to": THEM, "media": [{"id": uploaded.json()["id"]}]}
    sent = await here.post("/v1/messages", json=body, headers=headers)
    hooked = await here.client.post(
        here.hook("swift"), content=inbound_mms(JPEG, "image/jpeg"), headers=headers
    )
    assert hooked.is_success
    [row] = await here.rows("SELECT id FROM postback.message WHERE direction = 'inbound'")
    asked = {"authorization": f"Bearer {here.key}", **headers}
    one = (await here.client.get(f"{here.url}/v1/messages/{row['id']}", headers=asked)).json()
    every = (await here.client.get(f"{here.url}/v1/messages", headers=asked)).json()["data"]
    return [
        uploaded.json()["url"],
        uploaded.headers["location"],
        *(file["url"] for message in (*sent.json()["data"], one, *every) for file in message["media"]),
    ]


async def test_without_a_public_url_addresses_are_relative_whatever_callers_say(here: Home) -> None:
    addresses = await told(here, ELSEWHERE)

    assert 6 == len(addresses)
    assert {"/media"} == {address.rpartition("/media/")[0] + "/media" for address in addresses}
    assert [200] * 6 == [(await here.client.get(here.at(address))).status_code for address in addresses]


async def test_a_trusted_proxy_says_how_it_is_reached(database_url: str, tmp_path: Path) -> None:
    async with home(database_url, tmp_path, trusted_proxies=["127.0.0.0/8"]) as here:
        addresses = await told(here, PROXY)

    assert 6 == len(addresses)
    assert {"https://sms.example.com"} == {address.partition("/media/")[0] for address in addresses}


@pytest.mark.parametrize("scheme", ["javascript", "file", "http,javascript", "", "https:"])
async def test_a_trusted_proxy_is_believed_no_scheme_but_http_and_https(
    database_url: str, tmp_path: Path, scheme: str
) -> None:
    async with home(database_url, tmp_path, trusted_proxies=["127.0.0.0/8"]) as here:
        answer = await here.post("/v1/media", content=PNG, headers={**PROXY, "x-forwarded-proto": scheme})

    assert answer.json()["url"].startswith("/media/")


async def test_a_proxy_elsewhere_is_not_believed(database_url: str, tmp_path: Path) -> None:
    async with home(database_url, tmp_path, trusted_proxies=["192.0.2.0/24"]) as here:
        answer = await here.post("/v1/media", content=PNG, headers=PROXY)

    assert answer.json()["url"].startswith("/media/")


async def test_an_address_opens_its_file_for_as_long_as_is_set(
    database_url: str, tmp_path: Path, calendar: SimpleNamespace
) -> None:
    async with home(database_url, tmp_path, media_url_days=2) as here:
        url = here.at((await here.upload(PNG))["url"])
        statuses = {}
        for calendar.days in (0, 1.99, 2.1, 30):
            statuses[calendar.days] = (await here.client.get(url)).status_code
        refused = (await here.client.get(url)).json()

    assert {0: 200, 1.99: 200, 2.1: 404, 30: 404} == statuses
    assert ("not_found", True) == (refused["code"], "has expired" in refused["detail"])


async def test_who_fetches_a_file_keeps_it_no_longer_than_its_address_opens(
    here: Home, calendar: SimpleNamespace
) -> None:
    url = here.at((await here.upload(PNG))["url"])
    fresh = (await here.client.get(url)).headers["cache-control"]
    calendar.days = 6.9
    last = (await here.client.get(url)).headers["cache-control"]

    assert "private, max-age=86400, immutable" == fresh
    assert int(last.split("max-age=")[1].partition(",")[0]) < 0.2 * DAY


async def test_every_answer_has_the_address_made_anew(here: Home, calendar: SimpleNamespace) -> None:
    file_id = (await here.upload(PNG))["id"]
    sent = await here.send("sinch", {"id": file_id})
    await here.client.post(here.hook("swift"), content=inbound_mms(JPEG, "image/jpeg"))
    inbound = await received(here)
    saved = await here.post("/v1/templates", json=_template({"id": file_id}))
    first = [sent["media"][0]["url"], inbound["media"][0]["url"], saved.json()["media"][0]["url"]]

    calendar.days = 100
    key = {"authorization": f"Bearer {here.key}"}
    found = await here.post("/v1/messages/lookup", json={"ids": [sent["id"], inbound["id"]]})
    listed = (await here.client.get(f"{here.url}/v1/messages", headers=key)).json()["data"]
    talk = f"{here.url}/v1/conversations/{inbound['conversation_id']}/messages"
    said = (await here.client.get(talk, headers=key)).json()["data"]
    templates = (await here.client.get(f"{here.url}/v1/templates", headers=key)).json()["data"]
    one = await here.message(sent["id"])
    answers = [one, *found.json()["data"], *listed, *said, *templates]
    addresses = [file["url"] for answer in answers for file in answer["media"]]

    assert {404} == {(await here.client.get(here.at(url))).status_code for url in first}
    assert len(answers) == len(addresses)
    assert {200} == {(await here.client.get(here.at(url))).status_code for url in addresses}


async def test_an_app_is_not_posted_an_address_that_was_made_long_ago(
    here: Home, calendar: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is posted is made once for all subscribers, and kept for those that come later."""
    await here.send("sinch", {"id": (await here.upload(PNG))["id"]})
    kept = Letters(here.app._reader, Redactions(here.settings.database_url, "postback"), str)
    await kept.look()
    first = [_posted(letter) for letter in (await kept.after(0))[0]]
    calendar.days = 8
    monkeypatch.setattr(letters, "AGE", -1.0)
    later = [_posted(letter) for letter in (await kept.after(0))[0]]

    assert 1 == len(first) == len(later)
    assert [404, 200] == [(await here.client.get(here.at(url))).status_code for url in (*first, *later)]


async def test_answers_within_an_hour_name_the_same_address(here: Home, calendar: SimpleNamespace) -> None:
    """So that what a browser has fetched it does not fetch again."""
    made = store_of(here.settings, secrets.load(here.settings)).links
    file_id = uuid4()
    hour = -(time.time() % 3600) / DAY
    addresses = set()
    for calendar.days in (hour + 0.001, hour + 0.02, hour + 0.04):
        addresses.add(made.to(file_id, "a.png"))

    assert 1 == len(addresses)


async def test_an_address_that_somebody_names_as_that_of_a_file_stays_as_it_is(
    here: Home, calendar: SimpleNamespace
) -> None:
    """Else whoever once had an address could have it renewed for ever."""
    uploaded = await here.upload(PNG)
    url = "https://sms.example.com" + uploaded["url"]
    sent = await here.send("sinch", {"url": url})
    saved = await here.post("/v1/templates", json=_template({"url": url}))
    calendar.days = 100

    shown = (await here.message(sent["id"]))["media"][0]["url"]
    kept = await here.client.get(
        f"{here.url}/v1/templates/{saved.json()['id']}", headers={"authorization": f"Bearer {here.key}"}
    )

    assert [url, url] == [shown, kept.json()["media"][0]["url"]]


async def test_an_address_of_the_version_before_opens_its_file_for_as_long_as_a_new_one_would(
    here: Home,
) -> None:
    uploaded = await here.upload(PNG)
    made = store_of(here.settings, secrets.load(here.settings)).links
    url = here.at(made.lasting(UUID(uploaded["id"]), "file.png"))

    young = (await here.client.get(url)).status_code
    await here.rows("UPDATE postback.file SET created_at = now() - interval '7 days 1 minute'")
    old = await here.client.get(url)

    assert (200, 404) == (young, old.status_code)
    assert "has expired" in old.json()["detail"]


async def test_an_address_that_a_carrier_keeps_with_a_template_goes_on_opening_its_file(here: Home) -> None:
    uploaded = await here.upload(PNG)
    await here.post("/v1/templates", json=_template({"id": uploaded["id"]}))
    await here.rows("UPDATE postback.file SET created_at = now() - interval '3 years'")
    [row] = await here.rows("SELECT content->'media'->0->>'url' AS url FROM postback.template")

    assert row["url"].startswith(f"{here.url}/media/{uploaded['id']}/")
    assert 200 == (await here.client.get(row["url"])).status_code


@pytest.mark.parametrize("place", ["text", "url"])
async def test_a_template_that_merely_names_an_address_of_before_does_not_revive_it(
    here: Home, place: str
) -> None:
    uploaded = await here.upload(PNG)
    made = store_of(here.settings, secrets.load(here.settings)).links
    url = made.lasting(UUID(uploaded["id"]), "file.png", here.url)
    await here.rows("UPDATE postback.file SET created_at = now() - interval '1 year'")

    template = _template({"url": url if place == "url" else "https://example.com/a.png"})
    saved = await here.post("/v1/templates", json=template | {"text": url})
    shown = await here.client.get(
        f"{here.url}/v1/templates/{saved.json()['id']}", headers={"authorization": f"Bearer {here.key}"}
    )
    [media] = shown.json()["media"]

    assert (201, 404) == (saved.status_code, (await here.client.get(url)).status_code)
    assert {"url": template["media"][0]["url"], "content_type": media["content_type"]} == media


async def test_a_template_of_the_version_before_goes_on_having_its_files(here: Home) -> None:
    """It does not say which files it was made with: the addresses of its files do, and its text does not."""
    kept, named = [await here.upload(PNG) for _ in range(2)]
    saved = await here.post("/v1/templates", json=_template({"id": kept["id"]}))
    made = store_of(here.settings, secrets.load(here.settings)).links
    urls = [made.lasting(UUID(one["id"]), "file.png", here.url) for one in (kept, named)]
    await here.rows(
        """UPDATE postback.template
           SET content = jsonb_set(content #- '{media,0,file}', '{text}', to_jsonb($1::text))""",
        urls[1],
    )
    await here.rows("UPDATE postback.file SET created_at = now() - interval '1 year'")
    shown = await here.client.get(
        f"{here.url}/v1/templates/{saved.json()['id']}", headers={"authorization": f"Bearer {here.key}"}
    )
    [media] = shown.json()["media"]

    assert [200, 404] == [(await here.client.get(url)).status_code for url in urls]
    assert urls[0] != media["url"]
    assert 200 == (await here.client.get(here.at(media["url"]))).status_code


async def test_what_is_stored_of_a_message_opens_nothing_for_longer(
    here: Home, calendar: SimpleNamespace
) -> None:
    await here.send("sinch", {"id": (await here.upload(PNG))["id"]})
    await here.client.post(here.hook("swift"), content=inbound_mms(JPEG, "image/jpeg"))
    stored = [row["url"] for row in await here.rows("SELECT url FROM postback.media")]
    calendar.days = 8

    assert 2 == len(stored)
    assert {404} == {(await here.client.get(here.at(url))).status_code for url in stored}


async def test_a_carrier_is_given_an_address_that_is_made_when_it_is_called(
    database_url: str, calendar: SimpleNamespace
) -> None:
    async with installation(database_url, sender=False) as here:
        uploaded = (await here.api.post("/v1/media", content=PNG)).json()
        calendar.days = -30
        sent = await here.send(subject="Map", media=[{"id": uploaded["id"]}])
        calendar.days = 0
        here.start_sender()
        message = await here.until(sent["id"], "delivered", "failed", "rejected")
        [call] = await here.journal()
        fetched = await here.api.get(_image(call))

    assert "delivered" == message["status"], message["error"]
    assert (200, PNG) == (fetched.status_code, fetched.content)


@pytest.mark.parametrize(
    ("ahead", "days"), [(None, 7), (timedelta(days=30), 37), (timedelta(days=9999), 373)]
)
async def test_a_carrier_that_sends_later_has_the_address_for_as_long(
    database_url: str, tmp_path: Path, ahead: timedelta | None, days: int
) -> None:
    async with home(database_url, tmp_path, media_url_days=1) as here:
        store = store_of(here.settings, secrets.load(here.settings))
    file = StoredFile(uuid4(), bytes(32), 5)
    options = {"send_at": (datetime.now(UTC) + ahead).isoformat()} if ahead else {}
    submission = _submission(OutgoingMedia(store.links.to(file.id, "a.png"), "image/png", file=file), options)

    [media] = OutgoingFiles(store, ()).addressed(submission).media

    until = int(media.url.split("/")[3].partition(".")[0])
    assert days * DAY <= until - time.time() + 60 < (days + 1) * DAY


async def test_a_carrier_that_is_given_addresses_of_others_is_given_them_as_they_stand(here: Home) -> None:
    store = store_of(here.settings, secrets.load(here.settings))
    submission = _submission(OutgoingMedia("https://example.com/a.png", "image/png"), {})

    assert submission == OutgoingFiles(store, ()).addressed(submission)


def test_an_address_is_signed_with_its_end() -> None:
    made = Links(secrets.Secrets(["a secret key for tests"]), "", 7)
    file_id = uuid4()
    _, _, _, seal, name = made.to(file_id, "a.png").split("/")
    until, _, signature = seal.partition(".")
    later = str(int(until) + 3600)

    refused = [
        f"{later}.{signature}",
        signature,
        f".{signature}",
        f"{until}.{until}.{signature}",
        f"-1.{signature}",
    ]

    assert made.seal(file_id, seal, name)
    assert [None] * 5 == [made.seal(file_id, given, name) for given in refused]


def test_no_log_has_the_address_of_a_file_in_full() -> None:
    made = Links(secrets.Secrets(["a secret key for tests"]), "https://sms.example.com", 7)
    url = made.to(uuid4(), "a.png")
    file_id = url.split("/")[4]

    shown = masking.text(f"E351: cannot fetch {url}, says the carrier")

    assert f"https://sms.example.com/media/{file_id}/•••/a.png" in shown


def _posted(letter: Letter) -> str:
    url: str = orjson.loads(letter.body or b"")["data"]["message"]["media"][0]["url"]
    return url


def _template(*files: dict[str, str]) -> dict[str, Any]:
    return {"channel": "sinch", "name": f"spring {uuid4()}", "subject": "Spring", "media": list(files)}


def _submission(media: OutgoingMedia, options: dict[str, str]) -> Submission:
    return Submission(uuid4(), "send", None, THEM, None, None, (media,), None, options=options)


def _image(call: dict[str, Any]) -> str:
    [slide] = call["body"]["slide"]
    url: str = slide["image"]["url"]
    return url
