"""Numbers for Prometheus: what was counted, over all processes, and what it costs."""

import asyncio
import os
import re
import signal
import socket
import time
import timeit
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families

from faults.ports import free_port
from receiver.metrics import page, questions, scrape
from receiver.metrics.definitions import INSTRUMENTS, acknowledged, stored
from receiver.metrics.instruments import OTHER, BoundedCounter, Counter, Gauge, Histogram
from receiver.metrics.questions import GAUGES, Questions
from receiver.metrics.scrape import Scrape
from receiver.metrics.sheet import EVERY, Sheet
from receiver.rows import EventRow, new_id
from tests.support import commands
from tests.support.beds import connect
from tests.support.installation import installation
from tests.support.processes import ROOT, eventually, line, python
from tests.support.receiver import CHANNEL, CHANNELS, Receiver, running

DOCS = ROOT / "docs" / "metrics.md"


@pytest.fixture(autouse=True)
def _always_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scrape, "FRESH", 0.0)


def report(tracking_id: str, code: str = "N102", **more: str) -> bytes:
    return orjson.dumps(
        {
            "origin": "MMS_MT",
            "code": code,
            "status": "Message Delivered",
            "tracking-id": tracking_id,
            "from": "18885551234",
            "to": "12065550123",
            "timestamp": "2026-11-21T09:00:00Z",
            **more,
        }
    )


def read(text: str) -> dict[str, float]:
    """Samples as they are written, ``name{a="b"}``, with their values."""
    return {
        sample.name
        + "".join(f'{{{name}="{value}"}}' for name, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def scraped(receiver: Receiver) -> dict[str, float]:
    answer = await receiver.client.get(f"{receiver.url}/metrics")
    assert 200 == answer.status_code, answer.text
    return read(answer.text)


def told(channel: str = CHANNEL, **labels: str) -> str:
    return "".join(f'{{{name}="{value}"}}' for name, value in sorted({"channel": channel, **labels}.items()))


async def test_every_answer_at_the_door_is_counted_by_channel_and_status(
    database_url: str, tmp_path: Path
) -> None:
    channels = {CHANNEL: {**CHANNELS[CHANNEL], "basic": "user:password"}}
    async with running(database_url, channels, data_dir=tmp_path) as receiver:
        proven = {"auth": ("user", "password")}
        await receiver.client.post(receiver.hook(), content=report("t1"), **proven)  # type: ignore[arg-type]
        await receiver.client.post(receiver.hook(), content=b"{", **proven)  # type: ignore[arg-type]
        await receiver.client.post(receiver.hook(), content=report("t1"))
        await receiver.client.post(f"{receiver.url}/hooks/{CHANNEL}/wrong", content=report("t1"))
        await receiver.client.post(f"{receiver.url}/hooks/nobodys/wrong", content=report("t1"))
        numbers = await scraped(receiver)

    assert 2 == numbers["postback_acknowledgements_total" + told(status="200")]
    assert 1 == numbers["postback_acknowledgements_total" + told(status="401")]
    assert 1 == numbers["postback_acknowledgements_total" + told(status="404")]
    assert 1 == numbers["postback_acknowledgements_total" + told("(none)", status="404")]
    assert 1 == numbers["postback_authentication_failures_total" + told(reason="proof")]
    assert 1 == numbers["postback_authentication_failures_total" + told(reason="token")]
    assert 4 == numbers["postback_acknowledgement_seconds_count" + told()]
    assert 1 == numbers["postback_payloads_total" + told(state="applied")]
    assert 1 == numbers["postback_payloads_total" + told(state="quarantined")]
    assert 1 == numbers["postback_payloads_total" + told(state="unverified")]
    assert 0 == numbers["postback_payloads_total" + told(state="duplicate")]
    assert 1 == numbers['postback_payloads_kept{state="quarantined"}']
    assert 1 == numbers['postback_payloads_kept{state="unverified"}']
    assert 3 == numbers['postback_batch_size_sum{writer="webhooks"}']
    assert not any("nobodys" in name for name in numbers)


async def test_reports_are_counted_by_how_they_found_their_message(database_url: str, tmp_path: Path) -> None:
    async with installation(database_url) as installed:
        before = read((await installed.api.get("/metrics")).text)
        sent = await installed.send()
        await installed.until(sent["id"], "delivered")
        for _ in range(2):
            await installed.hook(report("somebody-elses"))
        await installed.hook(report("somebody-elses", "N101"))
        # two further reports of the practice carrier, on the message of ours, find it by the echoed id
        await asyncio.sleep(0.05)
        now = read((await installed.api.get("/metrics")).text)

    name = "postback_reports_total"
    ways = {
        way: now[name + told(found_by=way)] - before[name + told(found_by=way)]
        for way in ("own_id", "provider_id", "guessed", "new", "none")
    }
    assert {"own_id": 2, "provider_id": 2, "guessed": 0, "new": 1, "none": 0} == ways
    fate = "postback_calls_total" + told(fate="accepted")
    assert 1 == now[fate] - before[fate]
    assert now["postback_call_seconds_count" + told()] >= 1


async def test_lag_is_measured_and_a_report_from_the_future_has_none(
    database_url: str, tmp_path: Path
) -> None:
    now = datetime.now(UTC)
    async with running(database_url, data_dir=tmp_path) as receiver:
        for number, moment in enumerate((now - timedelta(minutes=10), now + timedelta(hours=1))):
            body = report(f"t{number}", timestamp=f"{moment:%Y-%m-%dT%H:%M:%SZ}")
            assert 200 == (await receiver.client.post(receiver.hook(), content=body)).status_code
        numbers = await scraped(receiver)

    lag = "postback_report_lag_seconds"
    assert 2 == numbers[f"{lag}_count" + told()]
    assert 600 == pytest.approx(numbers[f"{lag}_sum" + told()], abs=5)
    assert 1 == numbers[f"{lag}_bucket" + told(le="0.5")]
    assert 1 == numbers["postback_reports_from_the_future_total" + told()]


async def test_a_word_that_nobody_knows_is_told_but_no_number_in_it_and_not_without_end(
    database_url: str, tmp_path: Path
) -> None:
    words = BoundedCounter("postback_words", "For a test.", ("channel", "word"))
    for number in range(30):
        words.add("a", f"word {number}" + "x" * 100)
    assert 21 == len(words.values())
    assert 10 == words.values()["a", OTHER][0]
    assert 40 == max(len(word) for _, word in words.values())

    # a channel of its own: this process may have heard words of others before
    channel = {"provider": "sinch_mms", "tokens": ["a-token-of-tests"]}
    async with running(database_url, {"wordy": channel}, data_dir=tmp_path) as receiver:
        body = report("t1", "X999", status="Gone to +12065550123")
        await receiver.client.post(receiver.hook("wordy"), content=body)
        numbers = await scraped(receiver)

    told_of = [name for name in numbers if name.startswith("postback_unmapped_words_total")]
    [unmapped] = [name for name in told_of if '"wordy"' in name]
    assert "2065550123" not in unmapped
    assert 1 == numbers[unmapped]


async def test_many_scrapes_at_once_share_a_page_in_each_format(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scrape, "FRESH", 60.0)
    pages: list[str] = []

    def written(numbers: Any, accept: str) -> tuple[bytes, str]:
        pages.append(accept)
        return write(numbers, accept)

    write = page.written
    monkeypatch.setattr(scrape, "written", written)
    asked = Scrape(
        Sheet(tmp_path, "receiver"), Questions("postgresql://nobody@127.0.0.1:9/none", "postback", []), []
    )
    accepts = ["text/plain", "application/openmetrics-text; version=1.0.0", "*/*", "anything"] * 25

    answers = await asyncio.gather(*map(asked, accepts))

    assert 2 == len(pages)
    assert 2 == len({media_type for _, media_type in answers})
    assert all(b"postback_postgres_up 0.0" in content for content, _ in answers)


async def test_a_scrape_answers_while_postgres_is_away() -> None:
    gone = Questions("postgresql://nobody@127.0.0.1:9/none", "postback", ["a"])

    assert ((questions.POSTGRES_UP, {(): [0.0]}),) == await gone.ask()


async def test_a_frozen_postgres_costs_a_scrape_no_more_than_its_patience() -> None:
    server = socket.create_server(("127.0.0.1", 0))  # connections are taken, and nothing is ever said
    port = server.getsockname()[1]
    begun = asyncio.get_running_loop().time()

    answer = await Questions(f"postgresql://u:p@127.0.0.1:{port}/d", "postback", ["a"]).ask()

    assert ((questions.POSTGRES_UP, {(): [0.0]}),) == answer
    assert asyncio.get_running_loop().time() - begun < questions.PATIENCE + 1
    server.close()


async def test_what_stands_in_the_database_is_told_as_it_is(database_url: str) -> None:
    async with installation(database_url, sender=False) as installed:
        await installed.send()
        await installed.send()
        await installed.hook(report("t1"))
        lost = await installed.send()
        connection = await connect(database_url)
        await connection.execute(
            "UPDATE postback.outbox SET state = 'calling', lease_until = now() WHERE id = $1::text::uuid",
            lost["id"],
        )
        await connection.execute(
            """INSERT INTO postback.attention (message_id, uncertain, conflict, failure, error_specificity)
               VALUES ($1::text::uuid, true, false, false, -1)""", lost["id"]
        )  # fmt: skip
        await connection.close()
        numbers = read((await installed.api.get("/metrics")).text)

    assert 1 == numbers["postback_postgres_up"]
    assert 2 == numbers["postback_outbox_sends" + told(state="queued")]
    assert 1 == numbers["postback_outbox_sends" + told(state="calling")]
    assert 0 <= numbers["postback_outbox_age_seconds" + told()] < 30
    assert 1 == numbers["postback_uncertain_messages"]
    assert 0 <= numbers["postback_silence_seconds" + told()] < 30


@pytest.mark.parametrize("form", ["openmetrics", "plain"])
async def test_both_formats_are_what_they_say(database_url: str, tmp_path: Path, form: str) -> None:
    accept = "application/openmetrics-text; version=1.0.0" if form == "openmetrics" else "text/plain"
    parse = open_metrics if form == "openmetrics" else text_string_to_metric_families
    async with running(database_url, data_dir=tmp_path) as receiver:
        answer = await receiver.client.get(f"{receiver.url}/metrics", headers={"accept": accept})

    assert answer.headers["content-type"].startswith(accept.partition(";")[0])
    families = {family.name for family in parse(answer.text)}
    assert {*INSTRUMENTS, *(gauge.name for gauge in GAUGES)} == families


def test_what_a_dead_process_counted_is_kept_and_its_gauges_go(tmp_path: Path) -> None:
    """Counters of the dead are added once, however often and by however many they are found."""
    code = """
import sys, time
from pathlib import Path
from receiver.metrics.definitions import SPOOL_REQUESTS, acknowledged
from receiver.metrics.sheet import Sheet
sheet = Sheet(Path(sys.argv[1]), "receiver")
sheet.open()
SPOOL_REQUESTS.ask(lambda: {(): 7.0})
acknowledged("a", 200, 0.01)
sheet.write()
print("ready", flush=True)
time.sleep(60)
"""
    here = Sheet(tmp_path, "sender")
    here.open()
    with python(code, str(tmp_path)) as one, python(code, str(tmp_path)) as two:
        assert ["ready", "ready"] == [line(one), line(two)]
        living = here.everything(here.own())
        assert [2.0] == living["postback_acknowledgements"]["a", "200"]
        assert [14.0] == living["postback_spool_requests"][()]
        assert {("sender",): [1.0], ("receiver",): [2.0]} == living["postback_processes"]
        one.kill()
        one.wait()
        for _ in range(2):
            half = here.everything(here.own())
            assert [2.0] == half["postback_acknowledgements"]["a", "200"]
            assert [7.0] == half["postback_spool_requests"][()]
        assert {("sender",): [1.0], ("receiver",): [1.0]} == half["postback_processes"]
        two.kill()
        two.wait()
    after = here.everything(here.own())
    assert [2.0] == after["postback_acknowledgements"]["a", "200"]
    assert {} == after["postback_spool_requests"]
    here.close()
    again = Sheet(tmp_path, "receiver")
    again.open()
    assert [2.0] == again.everything(again.own())["postback_acknowledgements"]["a", "200"]
    again.close()
    assert ["ended.json", "lock"] == sorted(
        path.name for path in (tmp_path / "metrics").iterdir() if "receiver-" not in path.name
    )


def test_a_sum_that_was_written_before_its_parts_went_counts_them_once(tmp_path: Path) -> None:
    sheet = Sheet(tmp_path, "receiver")
    sheet.open()
    part = {"kind": "receiver", "included": [], "values": {"postback_inbound_messages": [[["a"], [3.0]]]}}
    (tmp_path / "metrics" / "receiver-1-dead.json").write_bytes(orjson.dumps(part))
    ended = {**part, "kind": "ended", "included": ["receiver-1-dead.json"]}
    (tmp_path / "metrics" / "ended.json").write_bytes(orjson.dumps(ended))
    (tmp_path / "metrics" / "receiver-2-torn.json").write_bytes(b'{"kind": "rec')

    for _ in range(2):
        assert [3.0] == sheet.everything({})["postback_inbound_messages"]["a",]
    sheet.close()


def test_where_the_directory_cannot_be_used_a_process_tells_its_own(tmp_path: Path) -> None:
    (tmp_path / "metrics").write_text("in the way")
    sheet = Sheet(tmp_path, "receiver")
    sheet.open()
    acknowledged("a-test", 200, 0.1)

    assert [1.0] == sheet.everything(sheet.own())["postback_acknowledgements"]["a-test", "200"]
    sheet.close()


def test_a_process_whose_numbers_could_not_be_written_for_a_while_is_still_told_by_others(
    tmp_path: Path,
) -> None:
    sheet, other = Sheet(tmp_path, "receiver"), Sheet(tmp_path, "sender")
    sheet.open()
    other.open()
    where, away = tmp_path / "metrics", tmp_path / "away"
    acknowledged("a-test", 200, 0.1)
    where.rename(away)
    sheet.write()
    away.rename(where)
    sheet.write()

    told = other.everything({})
    assert [1.0] == told["postback_processes"]["receiver",]
    assert [1.0] == told["postback_acknowledgements"]["a-test", "200"]
    other.close()
    sheet.close()


def test_numbers_of_several_workers_and_the_sender_add_up(database_url: str, tmp_path: Path) -> None:
    port, requests = free_port(), 40
    config = (
        f'database_url = "{database_url}"\nsecret_key = ["a secret key for tests"]\n'
        f'[channels.{CHANNEL}]\nprovider = "sinch_mms"\ntokens = ["the-token-of-tests"]\ninsecure = true\n'
    )
    (tmp_path / "postback.toml").write_text(config)
    with (
        commands.postback("serve", "--workers", "2", "--port", str(port), cwd=tmp_path) as serve,
        commands.postback("send", cwd=tmp_path) as send,
    ):
        url = serve.ready()
        send.says("sending")
        for number in range(requests):
            # a connection for each: the kernel spreads them over the workers
            body = report(f"t{number}")
            answer = httpx.post(f"{url}/hooks/{CHANNEL}/the-token-of-tests", content=body, trust_env=False)
            assert 200 == answer.status_code
        name = "postback_acknowledgements_total" + told(status="200")
        numbers: dict[str, float] = {}

        def all_counted() -> bool:
            numbers.update(read(httpx.get(f"{url}/metrics", trust_env=False).text))
            return numbers[name] == requests

        assert eventually(all_counted), numbers[name]
        assert 2 == numbers['postback_processes{kind="receiver"}']
        assert 1 == numbers['postback_processes{kind="sender"}']
        files = [path.name for path in (tmp_path / ".postback" / "metrics").glob("receiver-*.json")]
        pids = {int(name.split("-")[1]) for name in files}
        assert 2 == len(pids)

        time.sleep(2 * EVERY)  # what it counted since its last writing would go with it
        os.kill(min(pids), signal.SIGKILL)

        def told_again() -> bool:
            try:
                numbers.update(read(httpx.get(f"{url}/metrics", trust_env=False).text))
            except httpx.HTTPError:  # it may have been the killed one's to answer
                return False
            return True

        numbers.clear()
        assert eventually(told_again)
        assert requests == numbers[name]


def test_every_metric_is_described_and_every_described_one_exists() -> None:
    rows = re.findall(
        r"^\| `(postback_\w+)` \| (\w+) \|([^|]*)\|", DOCS.read_text(encoding="utf-8"), re.MULTILINE
    )
    kinds = {Histogram: "histogram", Gauge: "gauge", Counter: "counter", BoundedCounter: "counter"}
    written = {(name, kind, tuple(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}

    assert {
        (
            instrument.name + ("_total" if isinstance(instrument, Counter) else ""),
            kinds[type(instrument)],
            tuple(instrument.labels),
        )
        for instrument in (*INSTRUMENTS.values(), *GAUGES)
    } == written


def test_alerts_in_the_documents_name_what_exists() -> None:
    endings = ("_total", "_bucket", "_count", "_sum")
    known = {*INSTRUMENTS, *(gauge.name for gauge in GAUGES)}
    named = set(
        re.findall(
            r"\bpostback_[a-z_]+", "".join(re.findall(r"^ +expr: .*$", DOCS.read_text(), re.MULTILINE))
        )
    )

    assert len(named) >= 6
    assert [] == [
        name
        for name in named
        if name not in known and not any(name.removesuffix(end) in known for end in endings)
    ]


def test_counting_a_webhook_costs_a_few_microseconds_at_most() -> None:
    """The figure itself is in docs/metrics.md; this holds an order of magnitude, on any machine."""
    now = datetime.now(UTC)
    event = EventRow(
        id=new_id(), key=new_id(), type="message.delivered", channel="a", provider="p", source="report",
        received_at=now, occurred_at=now - timedelta(seconds=3),
    )  # fmt: skip

    def count() -> None:
        acknowledged("a-bench", 200, 0.004)
        stored("a-bench", "applied", (event,))

    best = min(timeit.repeat(count, number=2000, repeat=5)) / 2000

    assert best < 20e-6
