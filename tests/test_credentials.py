"""The keys with which carriers are called: how they may be written, and what a channel without one does."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from postback import checkup
from receiver import config
from receiver.channel_checks import providers_of
from receiver.config import ConfigError
from receiver.providers import PROVIDERS
from tests.support.beds import connect
from tests.support.commands import configured, run
from tests.support.installation import API_KEY, CHANNEL, THEM, TOKEN, US, channel_keys, installation
from tests.support.patience import PATIENCE

SECRET = "Sesame-Xanadu"
#: of each provider, the credentials without which its carrier takes no call
CREDENTIALS = [(name, key) for name, provider in PROVIDERS.items() for key in provider.credentials]
PUT_OFF = "SELECT true FROM postback.outbox WHERE state = 'queued' AND attempts > 0"
ODD = ["\n\n", "\n ", "\t", " ", "\0", "\x7f", "ü", "\u00a0", "\u200b"]


def of(provider: str, **keys: Any) -> config.Settings:
    """The settings of one channel that lacks nothing but what *keys* take from it."""
    whole = channel_keys(provider, "https://carrier.example.com")
    return config.settings({"channels": {"us": {**whole, **keys}}})


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize(("provider", "key"), CREDENTIALS)
def test_a_newline_at_the_end_of_a_key_is_not_part_of_it(
    provider: str, key: str, newline: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THE_KEY", f"{SECRET}{newline}")
    for written in (f"{SECRET}{newline}", "env:THE_KEY"):
        settings = of(provider, **{key: written})
        assert providers_of(settings)
        assert SECRET == settings.channels["us"].option(key)


def test_a_newline_at_the_end_of_what_callers_prove_themselves_with_is_not_part_of_it() -> None:
    keys = {
        "tokens": [f"{TOKEN}\n"],
        "basic": "user:password\n",
        "bearer": ["b\r\n"],
        "webhook_secret": "w\n",
    }
    channel = of("sinch_mms", **keys).channels["us"]

    assert ([TOKEN], ["user:password"], ["b"], ["w"]) == (
        channel.tokens, channel.basic, channel.bearer, channel.webhook_secret
    )  # fmt: skip


async def test_the_key_goes_out_without_the_newline_of_its_file(database_url: str) -> None:
    async with installation(database_url, api_key=f"{API_KEY}\n") as home:
        await home.until((await home.send())["id"], "delivered")


@pytest.mark.parametrize("odd", ODD, ids=ascii)
@pytest.mark.parametrize(("provider", "key"), CREDENTIALS)
def test_a_key_that_no_header_carries_is_refused_and_not_repeated(provider: str, key: str, odd: str) -> None:
    for value in (f"{SECRET}{odd}", f"{odd}{SECRET}", f"{SECRET}{odd}{SECRET}"):
        with pytest.raises(ConfigError, match=rf"^channels\.us: {key} holds a character") as refusal:
            providers_of(of(provider, **{key: value}))
        assert SECRET not in str(refusal.value)


@pytest.mark.parametrize("command", ["serve --port 0", "send", "doctor"])
def test_commands_name_a_key_that_no_header_can_carry(command: str, tmp_path: Path) -> None:
    configured(tmp_path, "postgresql://127.0.0.1:1/x", "us", tokens=[TOKEN], api_key=f"{SECRET}ü")
    code, output, errors = run(*command.split(), cwd=tmp_path)

    assert 1 == code
    assert "channels.us: api_key holds a character that no header can carry" in output + errors
    assert SECRET not in output + errors


@pytest.mark.parametrize(("provider", "key"), CREDENTIALS)
async def test_a_channel_without_a_key_receives_and_refuses_sends_with_the_reason(
    provider: str, key: str, database_url: str
) -> None:
    region = "+61491570156" if provider.startswith("cellcast") else THEM
    async with installation(database_url, provider, sender=False, **{key: "", "from": []}) as home:
        for named in ({}, {"channel": CHANNEL}):
            answer = await home.api.post("/v1/messages", json={"to": region, "text": "Hello", **named})
            problem = answer.json()
            assert (422, "channel_cannot") == (answer.status_code, problem["code"])
            assert f"{key} is not set" in problem["detail"]
            assert ["/channel"] == [error["pointer"] for error in problem["errors"]]
        assert 200 == (await home.hook(b"")).status_code


async def test_who_wrote_on_a_channel_without_a_key_is_shown_as_not_to_be_answered(database_url: str) -> None:
    inbound = {
        "origin": "MMS_MO", "code": "N401", "tracking-id": "i1", "from": THEM, "to": US, "content": [],
        "message-subject": "Hello",
    }  # fmt: skip
    async with installation(database_url, sender=False, api_key="") as home:
        assert 200 == (await home.hook(json.dumps(inbound).encode())).status_code
        [message] = await home.listed(1, direction="inbound")
        path = f"/v1/conversations/{message['conversation_id']}/messages"
        answer = await home.api.post(path, json={"text": "Hello"})

    assert not message["can_reply"]["ok"]
    assert "api_key is not set" in message["can_reply"]["reason"]
    assert (422, "channel_cannot") == (answer.status_code, answer.json()["code"])


async def test_a_channel_that_cannot_send_gives_way_to_one_that_can(database_url: str) -> None:
    async with installation(database_url, sender=False) as home:
        keyless = {**channel_keys("sinch_mms", "https://carrier.example.com"), "api_key": ""}
        channels = {**home.settings.channels, "other": _channel("other", keyless)}
        object.__setattr__(home.settings, "channels", channels)
        sent = await home.send()

    assert CHANNEL == sent["channel"]


def _channel(name: str, keys: dict[str, Any]) -> Any:
    return config.settings({"channels": {name: keys}}).channels[name]


async def test_a_message_that_waits_for_a_channel_whose_key_is_gone_is_sent_once_it_is_there(
    database_url: str,
) -> None:
    async with installation(database_url, sender=False) as home:
        sent = await home.send()
        keyed = home.settings
        gone = {CHANNEL: keyed.channels[CHANNEL].model_copy(update={"api_key": ""})}
        home.settings = keyed.model_copy(update={"channels": gone})
        home.start_sender()
        await waited(database_url)
        assert [] == await home.journal()
        await home.stop_sender()
        home.settings = keyed
        home.start_sender()
        await home.until(sent["id"], "delivered")


async def waited(database_url: str) -> None:
    """Returns once a call was put off."""
    db = await connect(database_url)
    async with asyncio.timeout(PATIENCE):
        while not await db.fetchval(PUT_OFF):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    await db.close()


def test_the_doctor_and_the_list_of_channels_say_that_a_channel_cannot_send(tmp_path: Path) -> None:
    configured(tmp_path, "postgresql://127.0.0.1:1/x", "us", tokens=[TOKEN], **{"from": [US]})
    _, output, _ = run("doctor", cwd=tmp_path)
    _, listed, _ = run("channels", cwd=tmp_path)

    [line] = [line for line in output.splitlines() if "cannot send" in line]
    assert ["warning", "sending"] == line.split()[:2]
    assert "us cannot send: api_key is not set" in line
    assert "can send        no: api_key is not set" in listed
    assert [checkup.Level.OK] == [one.level for one in checkup.sending(of("swift"))]


URLS = [(name, key) for name, provider in PROVIDERS.items() for key in provider.keys if "url" in key]
PUBLIC = [
    "HTTP://8.8.8.8/",
    "http://carrier.example.com/x",
    "http://[2606:4700::1]/",
    "http://0x7f.1/",
    "http://a.b:x/",
]
LOCAL = [
    "http://127.0.0.1:9/", "http://10.1.2.3/", "http://[::1]/", "http://localhost:9/", "http://carrier/v1",
    "http://carrier.sms.svc/", "http://carrier.internal/", "https://carrier.example.com/", "https://8.8.8.8/",
]  # fmt: skip


@pytest.mark.parametrize(("provider", "key"), URLS)
def test_no_public_carrier_is_called_over_plain_http_unless_the_channel_is_insecure(
    provider: str, key: str
) -> None:
    for url in PUBLIC[key == "callback_url" :]:  # which has to be in lower case
        with pytest.raises(ConfigError, match=rf"^channels\.us: {key} leads to a public address"):
            providers_of(of(provider, **{key: url}))
        assert providers_of(of(provider, **{key: url}, insecure=True))
    for url in LOCAL:
        assert providers_of(of(provider, **{key: url}))


def test_a_network_of_the_operators_own_is_not_public() -> None:
    given = {"channels": {"us": {**channel_keys("sinch_mms", "http://8.8.8.8"), "provider": "sinch_mms"}}}

    assert providers_of(config.settings({**given, "private_networks": ["8.8.8.0/24"]}))


def test_a_public_url_over_plain_http_is_refused_unless_every_channel_says_insecure() -> None:
    channels = {"us": channel_keys("swift", "https://a.example.com")}
    insecure = {"us": {**channels["us"], "insecure": True}}
    for url in PUBLIC[1:]:
        with pytest.raises(ConfigError, match=r"^public_url is a public address over plain http"):
            providers_of(config.settings({"public_url": url, "channels": channels}))
        assert providers_of(config.settings({"public_url": url, "channels": insecure}))
        assert providers_of(config.settings({"public_url": url}))
    for url in LOCAL:
        assert providers_of(config.settings({"public_url": url, "channels": channels}))


@pytest.mark.parametrize(
    ("key", "auth", "header"),
    [
        ("the-key", "appkey", {"appkey": "the-key"}),
        ("user:pass word", "basic", {"authorization": "Basic dXNlcjpwYXNzIHdvcmQ="}),
        ("the-key", "basic", {"authorization": "Basic dGhlLWtleTo="}),
        ("us\u00e9r:secret", "basic", {"authorization": "Basic dXPDqXI6c2VjcmV0"}),
    ],
)
def test_cellcast_is_shown_the_key_as_the_channel_says(key: str, auth: str, header: dict[str, str]) -> None:
    settings = of("cellcast", api_key=key, auth=auth)
    provider, channel = providers_of(settings)["cellcast"], settings.channels["us"]

    for call in (provider.poll(channel, 1), provider.ask("m1", "", channel)):
        assert call
        shown = {name.lower(): value for name, value in call.headers.items()}
        assert header == {name: shown[name] for name in ("appkey", "authorization") if name in shown}


@pytest.mark.parametrize("key", ["user:secret", "the-key"])
async def test_a_send_to_cellcast_is_taken_with_basic(key: str, database_url: str) -> None:
    async with installation(database_url, "cellcast", auth="basic", api_key=key) as home:
        await home.until((await home.send("+61491570156"))["id"], "delivered")


def test_cellcast_knows_two_ways_to_show_a_key() -> None:
    with pytest.raises(ConfigError, match='auth must be "appkey" or "basic"'):
        providers_of(of("cellcast", auth="digest"))
    with pytest.raises(ConfigError, match="api_key holds a character"):
        providers_of(of("cellcast", auth="basic", api_key="user:sec\nret"))
