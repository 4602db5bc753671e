"""The files of inbound messages: fetched from their carriers, kept, told of."""

import asyncio
import signal
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import Response

from receiver import fetching, media
from receiver.fetching import Pace
from tests.support import commands
from tests.support.inbound import PNG, THEM, US, Home, eventually, home, told
from tests.support.installation import installation
from tests.support.patience import PATIENCE


@pytest.fixture
async def here(database_url: str, tmp_path: Path) -> AsyncIterator[Home]:
    async with home(database_url, tmp_path) as found:
        yield found


async def test_a_picture_is_fetched_kept_and_served_from_here(here: Home) -> None:
    """Its type is what its bytes are, whatever the carrier calls it."""
    url = here.files.give("one.jpg", PNG)

    message = await here.inbound(url)
    [before] = message["media"]
    async with here.fetching():
        message = await here.settled(message["id"])
    [file] = message["media"]
    served = await here.client.get(here.at(file["url"]))

    assert ("pending", url, "image/jpeg") == (before["state"], before["url"], before["content_type"])
    assert ("stored", "image/png", len(PNG), before["id"]) == (
        file["state"], file["content_type"], file["size"], file["id"],
    )  # fmt: skip
    assert file["url"].startswith(f"/media/{file['id']}/")
    assert file["url"].endswith("/one.png")
    assert (200, PNG, "image/png") == (served.status_code, served.content, served.headers["content-type"])
    assert ["one.jpg"] == here.files.asked


async def test_the_timeline_and_the_feed_tell_of_every_file_once(here: Home) -> None:
    files = here.files
    urls = [files.give("1.png", PNG), files.give("2.gif", 410), files.give("3.txt", b"Hi")]
    message = await here.fetched(*urls)

    feed = (await here.got("/v1/events"))["data"]
    events = [event for event in feed if event["type"].startswith("media.")]

    assert ["message.received", "media.failed", "media.stored", "media.stored"] == sorted(
        told(message), key=lambda kind: (kind != "message.received", kind)
    )
    assert [(None, False, "timer", None)] * 3 == [
        (event["status"], event["effective"], event["source"], event["payload_id"]) for event in events
    ]
    assert {message["id"]} == {event["message_id"] for event in events}
    assert [2, 3, 4] == [event["version"] for event in events]
    assert ("received", "success", False) == (message["status"], message["outcome"], message["conflict"])


async def test_neither_the_acknowledgement_nor_the_message_waits_for_a_file(here: Home) -> None:
    message = await here.inbound(here.files.give("slow.png", None))
    async with here.fetching():
        await eventually(lambda: bool(here.files.asked))
        another = await asyncio.wait_for(here.inbound(here.files.url + "/slow.png"), 2)

    assert ["pending", "pending"] == [one["media"][0]["state"] for one in (message, another)]


async def test_what_a_browser_would_run_is_kept_and_only_ever_saved(here: Home) -> None:
    pages = [b"<svg onload='alert(1)'/>", b"<!doctype html><script>alert(1)</script>"]
    claims = ["image/svg+xml", "text/html", "text/plain", "image/png"]
    cases = [(page, claim) for page in pages for claim in claims]
    urls = [
        here.files.give(f"x{place}.svg", Response(content, media_type=content_type))
        for place, (content, content_type) in enumerate(cases)
    ]

    message = await here.fetched(*urls)

    assert 8 == len(message["media"])
    for place, (file, (content, _)) in enumerate(zip(message["media"], cases, strict=True)):
        served = await here.client.get(here.at(file["url"]))
        assert ("stored", "application/octet-stream") == (file["state"], file["content_type"])
        assert (content, "application/octet-stream") == (served.content, served.headers["content-type"])
        assert f'attachment; filename="x{place}.bin"' == served.headers["content-disposition"]
        assert "nosniff" == served.headers["x-content-type-options"]
        assert "sandbox" == served.headers["content-security-policy"]


async def test_a_server_in_trouble_is_asked_again_after_growing_pauses(here: Home) -> None:
    message = await here.inbound(here.files.give("1.png", 503, PNG))
    pauses: list[float] = []
    async with here.fetching():
        for pause in fetching.PAUSES:
            rows: list[Any] = []
            async with asyncio.timeout(PATIENCE):
                while not rows:
                    rows = await here.rows(
                        "SELECT next_at - now() AS pause FROM postback.media WHERE reason IS NOT NULL"
                        " AND state = 'pending' AND attempts = $1", len(pauses) + 1,
                    )  # fmt: skip
            pauses.append(rows[0]["pause"].total_seconds() / pause)
            [waiting] = (await here.message(message["id"]))["media"]
            assert ("pending", "its server answers with HTTP 503") == (waiting["state"], waiting["reason"])
            here.files.answers["1.png"] = [503]
            await here.rows("UPDATE postback.media SET next_at = now(), reason = NULL")
        message = await here.settled(message["id"])

    assert all(0.85 < pause <= 1.1 for pause in pauses)
    assert 9 == len(here.files.asked)
    assert ["message.received", "media.failed"] == told(message)
    assert "its server answers with HTTP 503" == message["timeline"][-1]["provider_message"]
    assert ("failed", "its server answers with HTTP 503") == (
        message["media"][0]["state"], message["media"][0]["reason"],
    )  # fmt: skip


async def test_a_file_that_comes_at_the_second_try_is_told_of_once(
    here: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "PAUSES", (0.01,) * 8)
    message = await here.fetched(here.files.give("1.png", 503, 404, PNG))

    assert ["message.received", "media.stored"] == told(message)
    assert "reason" not in message["media"][0]
    assert 3 == await here.tries()


@pytest.mark.parametrize("status", [401, 403, 404])
async def test_a_file_that_is_not_there_is_not_asked_for_so_often(
    here: Home, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setattr(fetching, "PAUSES", (0.01,) * 8)
    message = await here.fetched(here.files.give("1.png", status))

    assert ("failed", f"its server answers with HTTP {status}") == (
        message["media"][0]["state"], message["media"][0]["reason"],
    )  # fmt: skip
    assert 4 == len(here.files.asked)


async def test_what_can_never_be_fetched_fails_at_once(here: Home) -> None:
    large = here.files.give("large.png", PNG + bytes(media.LARGEST_RECEIVED))
    for url, reason in (
        (here.files.give("gone.png", 410), "its server answers with HTTP 410"),
        (large, f"it is larger than {media.LARGEST_RECEIVED} bytes"),
        ("ftp://files.example/1.png", "it is no http or https URL"),
        ("https://169.254.169.254/latest/meta-data", "169.254.169.254 is not a public address"),
        ("https://2130706433/1.png", "in a spelling that is not accepted"),
    ):
        message = await here.fetched(url)

        assert "failed" == message["media"][0]["state"]
        assert reason in message["media"][0]["reason"]
    assert {1} == {row["attempts"] for row in await here.rows("SELECT attempts FROM postback.media")}


async def test_a_file_is_asked_for_again_when_its_server_says(
    here: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "PAUSES", (0.05,) * 8)
    clocks = {"date": "Sat, 21 Nov 2020 12:00:00 GMT", "retry-after": "Sat, 21 Nov 2020 13:00:00 GMT"}
    message = await here.inbound(here.files.give("1.png", Response(status_code=503, headers=clocks), PNG))

    waiting = """SELECT attempts, extract(epoch FROM next_at - now()) AS wait FROM postback.media
                 WHERE next_at > now() + interval '5 minutes'"""
    rows: list[Any] = []
    async with here.fetching(), asyncio.timeout(PATIENCE):
        while not rows:
            await asyncio.sleep(0.01)
            rows = await here.rows(waiting)

    [row] = rows
    assert 1 == row["attempts"]
    assert 3540 < row["wait"] <= 3600
    assert "pending" == (await here.message(message["id"]))["media"][0]["state"]


async def test_a_file_that_cannot_be_written_is_fetched_again(
    here: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "PAUSES", (0.05,) * 8)
    in_the_way = here.settings.data_dir / "media"
    in_the_way.write_bytes(b"in the way")
    message = await here.inbound(here.files.give("1.png", PNG))
    async with here.fetching():
        await eventually(lambda: len(here.files.asked) >= 2)
        in_the_way.unlink()
        message = await here.settled(message["id"])

    assert "stored" == message["media"][0]["state"]


async def test_of_many_who_fetch_each_file_is_fetched_by_one(here: Home) -> None:
    urls = [here.files.give(f"{number}.png", PNG + bytes([number])) for number in range(20)]
    message = await here.inbound(*urls)
    async with here.fetching(), here.fetching(), here.fetching():
        message = await here.settled(message["id"])

    assert sorted(here.files.answers) == sorted(here.files.asked)
    assert 20 == told(message).count("media.stored")


async def test_a_carrier_whose_files_hang_holds_up_nobody_elses(here: Home) -> None:
    slow = here.files.give("slow.png", None)
    await here.inbound(*[slow] * 10)

    async with here.past(4, "other") as message:
        assert "stored" == message["media"][0]["state"]


async def test_web_processes_leave_to_the_sender_what_is_not_overdue(here: Home) -> None:
    message = await here.inbound(here.files.give("1.png", PNG))
    async with here.fetching(Pace(look=0.02, patience=timedelta(seconds=5), places=2)):
        await asyncio.sleep(0.2)
        assert [] == here.files.asked
        await here.rows("UPDATE postback.media SET next_at = now() - interval '5 seconds'")
        message = await here.settled(message["id"])

    assert "stored" == message["media"][0]["state"]


async def test_a_try_whose_lease_ran_out_has_no_say(here: Home) -> None:
    """Somebody else has begun the next one."""
    await here.inbound(here.files.give("slow.png", None, 410))
    async with here.fetching() as first:
        await eventually(lambda: bool(here.files.asked))
        await here.rows("UPDATE postback.media SET attempts = 2, next_at = now() + interval '1 hour'")
        [part] = first._under_way.values()
        here.files.released.set()
        await eventually(lambda: not first._under_way)

    [row] = await here.rows("SELECT state, attempts FROM postback.media")
    assert (1, "pending", 2) == (part.attempts, row["state"], row["attempts"])
    assert [] == await here.rows("SELECT FROM postback.file")
    assert 1 == len((await here.got("/v1/events"))["data"])


async def test_a_message_that_is_redacted_meanwhile_gets_no_file(here: Home) -> None:
    message = await here.inbound(here.files.give("slow.png", None))
    headers = {"authorization": f"Bearer {here.key}"}
    async with here.fetching() as found:
        await eventually(lambda: bool(here.files.asked))
        await here.client.post(f"{here.url}/v1/messages/{message['id']}/redact", headers=headers)
        here.files.released.set()
        await eventually(lambda: not found._under_way)

    message = await here.message(message["id"])
    assert ([], ["message.received"]) == (message["media"], told(message))
    assert [] == await here.rows("SELECT FROM postback.file")


async def test_a_replay_of_the_request_takes_nothing_back(here: Home) -> None:
    before = await here.fetched(here.files.give("1.png", PNG), here.files.give("2.txt", b"Hello"))
    headers = {"authorization": f"Bearer {here.key}"}

    answer = await here.client.post(f"{here.url}/v1/payloads/replay", headers=headers, json={})

    assert 200 == answer.status_code, answer.text
    assert before == await here.message(before["id"])


async def test_redacting_removes_what_was_fetched(here: Home) -> None:
    message = await here.fetched(here.files.give("1.png", PNG), here.files.give("2.txt", b"Hello"))
    headers = {"authorization": f"Bearer {here.key}"}

    await here.client.post(f"{here.url}/v1/messages/{message['id']}/redact", headers=headers)

    redacted = await here.message(message["id"])
    assert (None, []) == (redacted["text"], redacted["media"])
    assert [] == [path for path in (here.settings.data_dir / "media").rglob("*") if path.is_file()]
    assert 404 == (await here.client.get(here.at(message["media"][0]["url"]))).status_code


async def test_the_metrics_tell_what_came_of_files_and_what_waits(here: Home) -> None:
    await here.fetched(here.files.give("1.png", PNG), here.files.give("3.txt", b"x"))
    await here.inbound(here.files.give("4.png", PNG))
    page = (await here.client.get(f"{here.url}/metrics")).text.splitlines()
    told = dict(line.rsplit(" ", 1) for line in page if line.startswith("postback_") and "media" in line)

    assert "1.0" == told["postback_media_pending"]
    assert 0 <= float(told["postback_media_age_seconds"]) < 60
    for outcome in ("stored", "text"):
        assert float(told[f'postback_inbound_media_total{{channel="sinch",outcome="{outcome}"}}']) >= 1


async def test_a_fetch_that_was_killed_is_done_again_by_whoever_lives_and_counts_once(
    here: Home, tmp_path: Path
) -> None:
    """A sender is killed by SIGKILL in the middle of it; then nothing runs but a receiver."""
    message = await here.inbound(here.files.give("1.png", None))
    variables = {
        "DATABASE_URL": here.settings.database_url,
        "POSTBACK_SECRET_KEY": "a secret key for tests",
        "POSTBACK_PRIVATE_NETWORKS": "127.0.0.0/8",
        "POSTBACK_DATA_DIR": str(here.settings.data_dir),
    }
    with commands.postback("send", cwd=tmp_path, **variables) as sender:
        await eventually(lambda: bool(here.files.asked))
        assert -signal.SIGKILL == await asyncio.to_thread(sender.ends, signal.SIGKILL)
    here.files.give("1.png", PNG)
    [left] = await here.rows("SELECT state, attempts, next_at > now() AS leased FROM postback.media")
    await here.rows(
        "UPDATE postback.media SET next_at = now() - interval '5 seconds'"
    )  # what time does to it
    with commands.postback("serve", "--port", "0", cwd=tmp_path, **variables):
        message = await here.settled(message["id"])

    assert ("pending", 1, True) == (left["state"], left["attempts"], left["leased"])
    assert ["message.received", "media.stored"] == told(message)
    assert PNG == (await here.client.get(here.at(message["media"][0]["url"]))).content
    assert (2, 1) == (await here.tries(), len(await here.rows("SELECT FROM postback.file")))


async def test_a_practice_carriers_message_comes_with_its_text_and_its_picture(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POSTBACK_PRIVATE_NETWORKS", "127.0.0.0/8")
    monkeypatch.setenv("POSTBACK_DATA_DIR", str(tmp_path))
    async with installation(database_url) as here:
        said = {"from": THEM, "to": US, "text": "Where is my order?", "smil": True}
        pixel = str(here.carrier.base_url.join("/practice/files/pixel.png"))
        answer = await here.carrier.post("/practice/inbound", json={**said, "files": [pixel], "repeat": 2})
        assert answer.is_success, answer.text
        [message] = await here.listed(1, direction="inbound")
        await here.event(message["id"], "media.stored")
        async with asyncio.timeout(PATIENCE):
            while message["text"] is None or message["media"][0]["state"] == "pending":
                message = await here.message(message["id"])
        [picture] = message["media"]
        served = await here.api.get(picture["url"])

    assert ("Where is my order?", "stored", "image/png") == (
        message["text"], picture["state"], picture["content_type"],
    )  # fmt: skip
    assert picture["size"] == len(served.content)
