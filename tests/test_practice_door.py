"""What a stranger on this machine and a web page can make of the practice carrier: nothing."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.routing import Route

from faults.ports import free_port
from postback import practice, up
from receiver import config
from receiver.config import ConfigError, Settings
from simulator.app import Account, create
from tests.support import commands
from tests.support.carrier import CONTROL, PRACTICE_KEY, running_receiver, running_simulator
from tests.support.carrier_cases import CASES, KEY, Case
from tests.support.installation import CHANNEL, channel_keys
from tests.support.patience import PATIENCE

CARRIER = "http://127.0.0.1:8090"
TOKEN, SECRET = "canary-token-7f3c9b55", "canary-secret-9e1d20aa"
JSON = {"content-type": "application/json"}
#: every route that there is, with each of its methods; a route to come is in it, too
ROUTES = [
    (method, route.path.replace("{name}", "pixel.png"))
    for route in create([], key=PRACTICE_KEY).routes
    if isinstance(route, Route)
    for method in sorted(route.methods or ())
]
CONTROLS = [
    (method, path)
    for method, path in ROUTES
    if path.startswith("/practice/") and not path.startswith("/practice/files/")
]


@pytest.fixture
async def carrier() -> AsyncIterator[httpx.AsyncClient]:
    """Its control routes, for who has no key."""
    account = Account(api_key=SECRET, callback_url=f"http://127.0.0.1:9/hooks/us/{TOKEN}", name="us")
    async with running_simulator([account]) as url, httpx.AsyncClient(base_url=url) as client:
        yield client


def test_there_are_routes_to_try() -> None:
    assert {"accounts", "faults", "journal", "inbound", "postback"} == {
        path.removeprefix("/practice/") for _, path in CONTROLS
    }
    assert {"/healthz", "/ep/v2/", "/v1/sms"} < {path for _, path in ROUTES}


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1.evil.example",
        "localhost.evil.example:8090",
        "10.0.0.1",
        "127.0.0.1@evil.example",
        "",
        "[::1",
        "0x7f.1",
        "localhost:80:80",
        "x" * 5000,
    ],
)
async def test_no_route_answers_under_a_foreign_name(carrier: httpx.AsyncClient, host: str) -> None:
    headers = {**CONTROL, **JSON, "host": host}
    answers = [await carrier.request(method, path, headers=headers) for method, path in ROUTES]

    assert {421} == {answer.status_code for answer in answers}
    assert_tells_nothing(answers)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:1", "[::1]:8090", "127.8.8.8", "LOCALHOST:8090"])
async def test_a_name_of_loopback_is_ours_with_any_port(carrier: httpx.AsyncClient, host: str) -> None:
    assert (await carrier.get("/practice/journal", headers={**CONTROL, "host": host})).is_success


async def test_a_request_with_two_hosts_is_refused(carrier: httpx.AsyncClient) -> None:
    reader, writer = await asyncio.open_connection(carrier.base_url.host, carrier.base_url.port)
    head = ["GET /practice/journal HTTP/1.1", *["Host: localhost"] * 2, f"X-Practice-Key: {PRACTICE_KEY}"]
    writer.write("\r\n".join([*head, "Connection: close", "", ""]).encode())
    async with asyncio.timeout(PATIENCE):
        answer = await reader.read()
    writer.close()
    await writer.wait_closed()

    assert answer.startswith(b"HTTP/1.1 421 ")


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:8090", ""])
async def test_no_route_answers_a_web_page(carrier: httpx.AsyncClient, origin: str) -> None:
    headers = {**CONTROL, **JSON, "origin": origin}
    answers = [await carrier.request(method, path, headers=headers) for method, path in ROUTES]
    preflight = await carrier.options("/practice/accounts", headers={"origin": origin})

    assert {403} == {answer.status_code for answer in [*answers, preflight]}
    assert [] == [
        name for answer in [*answers, preflight] for name in answer.headers if "access-control" in name
    ]
    assert_tells_nothing(answers)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-practice-key": ""},
        {"x-practice-key": PRACTICE_KEY[:-1]},
        {"x-practice-key": PRACTICE_KEY + "x"},
        {"x-practice-key": "ÿ" * 20},
        {"authorization": f"Bearer {PRACTICE_KEY}"},
        {"x-api-key": SECRET},
        {"cookie": f"x-practice-key={PRACTICE_KEY}"},
    ],
)
async def test_no_control_route_answers_without_the_key(
    carrier: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    given = httpx.Headers([(n.encode(), v.encode("latin-1")) for n, v in {**JSON, **headers}.items()])
    named = [*CONTROLS, ("GET", "/practice/"), ("POST", "/practice/anything"), ("PUT", "/practice/accounts")]
    answers = [await carrier.request(method, path, headers=given) for method, path in named]
    answers.append(await carrier.get("/practice/%61ccounts", headers=given))
    answers.append(await carrier.get("/practice/accounts", params=CONTROL, headers=given))

    assert {401} == {answer.status_code for answer in answers}
    assert_tells_nothing(answers)


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "text/plain; application/json",
        "application/jsonp",
        None,
    ],
)
async def test_a_control_route_takes_no_body_but_json(
    carrier: httpx.AsyncClient, content_type: str | None
) -> None:
    headers = CONTROL if content_type is None else {**CONTROL, "content-type": content_type}
    named = [(method, path) for method, path in CONTROLS if method in ("POST", "DELETE")]
    answers = [await carrier.request(method, path, headers=headers, content=b"{}") for method, path in named]

    assert {415} == {answer.status_code for answer in answers}
    assert {"data": []} == (await carrier.get("/practice/journal", headers=CONTROL)).json()


async def test_files_are_there_for_a_customer_without_a_key_and_only_by_their_names(
    carrier: httpx.AsyncClient,
) -> None:
    assert (await carrier.get("/practice/files/pixel.png")).is_success
    refused = [await carrier.get(f"/practice/files{path}") for path in ("", "/", "/..%2faccounts", "/x.txt")]

    assert [] == [answer for answer in refused if answer.is_success]
    assert_tells_nothing(refused)


def assert_tells_nothing(answers: list[httpx.Response]) -> None:
    said = "".join(f"{answer.text}{answer.headers}" for answer in answers)
    assert [] == [secret for secret in (TOKEN, SECRET, PRACTICE_KEY) if secret in said]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
async def test_no_answer_of_a_control_route_holds_a_secret_of_an_account(case: Case) -> None:
    """With the key, and after sends and callbacks that carried every one of them."""
    secrets: dict[str, Any] = {
        "api_key": KEY, "basic": 'user:canary"password\\é', "webhook_secret": "canary-hmac-44d1c0",
        "bearer": "canary-bearer-5d0aa1",
    }  # fmt: skip
    async with running_receiver() as receiver:
        callbacks = f"{receiver.url}?token={TOKEN}"
        account = Account(**{**case.account, **secrets, "provider": case.provider, "callback_url": callbacks})
        async with (
            running_simulator([account]) as url,
            httpx.AsyncClient(base_url=url, headers=CONTROL) as client,
        ):
            sent = await client.post(case.path, headers=case.headers, **case.request(case.to))
            assert sent.is_success
            body = json.dumps({"at": callbacks, "said": list(secrets.values())}).encode()
            answers = [
                await client.post("/practice/inbound", json={"from": "+61400000001", "to": "+61400000002"}),
                await client.post("/practice/postback", content=body, headers=JSON),
                await client.post("/practice/accounts", json=account.model_dump()),
                await client.post("/practice/faults", json={"account": case.provider, "next": 1}),
                *[await client.get(f"/practice/{noun}") for noun in ("accounts", "faults", "journal")],
            ]
            assert [] == [answer.text for answer in answers if not answer.is_success]
            said = "".join(answer.text for answer in answers)

    hidden = [TOKEN, KEY, "canary", base64.b64encode(secrets["basic"].encode()).decode()]
    assert [] == [secret for secret in hidden if secret in said]
    assert "…" in said


PROVIDERS = ("sinch_mms", "sinch_sms", "swift", "voicetel", "cellcast", "cellcast_v1")


def settings(tmp_path: Path, **channels: dict[str, Any]) -> Settings:
    return config.settings({"data_dir": tmp_path, "channels": channels})


@pytest.mark.parametrize("provider", PROVIDERS)
def test_an_account_is_made_of_a_channel_that_leads_here_and_of_no_other(
    provider: str, tmp_path: Path
) -> None:
    here = channel_keys(provider, CARRIER)
    urls = [key for key in here if key.endswith("_url")]
    elsewhere = {
        "real": {key: value for key, value in here.items() if key not in urls},
        "other-port": channel_keys(provider, "http://127.0.0.1:8091"),
        "other-host": channel_keys(provider, "http://127.0.0.1.evil.example:8090"),
        "no-port": channel_keys(provider, "http://127.0.0.1"),
        "tls": channel_keys(provider, "https://127.0.0.1:8090"),
        "unreadable": channel_keys(provider, "http://127.0.0.1:port"),
        **{f"partly-{key}": {**here, key: "https://carrier.example/x"} for key in urls},
        **{f"without-{key}": {k: v for k, v in here.items() if k != key} for key in urls},
    }
    led = {"here": here, "by-name": channel_keys(provider, "http://LOCALHOST:8090")}
    made = practice.accounts(settings(tmp_path, **led, **elsewhere), "http://127.0.0.1:8080", CARRIER)

    assert ["here", "by-name"] == [account.name for account in made]


def test_up_starts_the_practice_carrier_where_no_channel_leads_elsewhere(tmp_path: Path) -> None:
    def started(simulator: bool | None, *carriers: str, demonstrate: bool = False) -> bool:
        channels = {f"c{n}": channel_keys("sinch_mms", carrier) for n, carrier in enumerate(carriers)}
        plan = up.Plan("127.0.0.1", 0, 1, simulator, demonstrate)
        return bool(up.carrier(settings(tmp_path, **channels), plan, port))

    port = free_port()
    here, real = f"http://127.0.0.1:{port}", "https://carrier.example"
    assert [True, True, False] == [started(None), started(None, here), started(None, here, real)]
    assert [True, True] == [started(True, real), started(None, real, demonstrate=True)]
    assert [False, False] == [started(False), started(False, here)]


@pytest.fixture
def real(database_url: str) -> dict[str, str]:
    """The environment of an installation with a channel to a real carrier."""
    keys = {"provider": "sinch_mms", "tokens": [TOKEN], "from": ["+18885551234"], "api_key": SECRET}
    return {
        "DATABASE_URL": database_url,
        "POSTBACK_SECRET_KEY": "a secret key for tests",
        "POSTBACK_CHANNELS": json.dumps({CHANNEL: keys}),
    }


def test_beside_a_real_channel_the_practice_carrier_runs_when_asked_for_and_knows_nothing_of_it(
    real: dict[str, str], tmp_path: Path
) -> None:
    with commands.postback("up", "--port", "0", cwd=tmp_path, **real) as everything:
        everything.ready()
        assert 0 == everything.ends()
        assert [] == [line for line in [*everything.output, *everything.errors] if "carrier" in line]

    with commands.postback("up", "--port", "0", "--simulator", cwd=tmp_path, **real) as everything:
        everything.ready()
        said = everything.says("practice carrier ")
        address, key = said.removeprefix("practice carrier ").split(", key ")
        assert (0, f"{key}\n") == commands.run("practice-key", cwd=tmp_path, **real)[:2]
        with httpx.Client(base_url=address, headers={"x-practice-key": key}) as stranger:
            assert {"data": []} == stranger.get("/practice/accounts").raise_for_status().json()
            forged = {"from": "+12065550123", "to": "+18885551234", "account": CHANNEL}
            assert 422 == stranger.post("/practice/inbound", json=forged).status_code
        everything.ends()
        assert key not in "".join(everything.errors)


def test_simulate_says_the_key_and_knows_only_the_channels_that_lead_to_it(
    real: dict[str, str], tmp_path: Path
) -> None:
    port = free_port()
    known = {
        **json.loads(real["POSTBACK_CHANNELS"]),
        "here": channel_keys("swift", f"http://127.0.0.1:{port}"),
    }
    real["POSTBACK_CHANNELS"] = json.dumps(known)
    with commands.postback("simulate", "--port", str(port), cwd=tmp_path, **real) as simulating:
        address = simulating.ready()
        key = simulating.says("key ").removeprefix("key ")
        answer = httpx.get(f"{address}/practice/accounts", headers={"x-practice-key": key})
        assert ["here"] == [account["name"] for account in answer.raise_for_status().json()["data"]]


def test_the_key_is_made_once_and_is_ours_alone(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    key = practice.key(data_dir)

    assert (key, 0o600) == (practice.key(data_dir), (data_dir / "practice-key").stat().st_mode & 0o777)
    assert 32 == len(key)
    assert ["practice-key"] == [path.name for path in data_dir.iterdir()]

    (data_dir / "practice-key").write_text("\n")
    with pytest.raises(ConfigError, match="is empty; remove it"):
        practice.key(data_dir)


async def test_a_carrier_without_a_key_does_not_start() -> None:
    with pytest.raises(ValueError, match="need a key"):
        create([], key="")
