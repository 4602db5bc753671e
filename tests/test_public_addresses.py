"""Carriers that fetch files are sent no address that nobody on the internet reaches."""

from typing import Any

import pytest

from tests.support.installation import THEM, Installation, installation

AU, AU_CONTACT = "+61491570006", "+61491570156"
FETCHING: dict[str, tuple[str, dict[str, Any]]] = {
    "sinch_mms": (THEM, {}),
    "sinch_sms": (THEM, {}),
    "voicetel": (THEM, {}),
    "voicetel 2.2": (THEM, {"api": "2.2"}),
    "cellcast_v1": (AU_CONTACT, {"from": [AU], "default_region": "AU"}),
}
PRIVATE = [
    "http://10.0.0.5/a.gif",
    "https://192.168.1.7:8443/a.gif",
    "http://127.0.0.1/a.gif",
    "http://169.254.169.254/a.gif",
    "http://somebody:secret@172.16.0.1/a.gif",
    "http://0x7f.1/a.gif",
    "http://2130706433/a.gif",
    "http://localhost/a.gif",
    "http://LOCALHOST.:8080/a.gif",
    "http://files.localhost/a.gif",
    "http://media/a.gif",
    "https://media.internal/a.gif",
    "https://nas.local/a.gif",
]
PUBLIC = [
    "http://media.example.com/a.gif",
    "https://93.184.216.34/a.gif",
    "https://local.example.com:8443/a.gif",
]


async def post(home: Installation, to: str, url: str, **fields: Any) -> Any:
    body = {"to": to, "text": "Hello", "media": [{"url": url}], **fields}
    return await home.api.post("/v1/messages", json=body)


@pytest.mark.parametrize("case", FETCHING)
async def test_an_address_that_is_not_public_is_refused(database_url: str, case: str) -> None:
    to, channel = FETCHING[case]
    async with installation(database_url, case.partition(" ")[0], sender=False, **channel) as home:
        refused = {url: await post(home, to, url) for url in PRIVATE}
        taken = {url: await post(home, to, url) for url in PUBLIC}

    for url, answer in refused.items():
        [error] = answer.json()["errors"]
        assert (url, 422, "media_error", "/media/0/url") == (
            url, answer.status_code, answer.json()["code"], error["pointer"],
        )  # fmt: skip
        assert "must be publicly accessible" in error["detail"]
        assert "secret" not in error["detail"]
    assert dict.fromkeys(PUBLIC, 202) == {url: answer.status_code for url, answer in taken.items()}


async def test_the_file_on_a_slide_is_pointed_to(database_url: str) -> None:
    async with installation(database_url, sender=False) as home:
        slides = [{"text": "A"}, {"media": [{"url": PRIVATE[0]}]}]
        answer = await home.api.post("/v1/messages", json={"to": THEM, "slides": slides})
        template = {"channel": "sinch-us", "name": "n", "media": [{"url": PRIVATE[0]}]}
        stored = await home.api.post("/v1/templates", json=template)

    assert "/slides/1/media/0/url" == answer.json()["errors"][0]["pointer"]
    assert (422, "/media/0/url") == (stored.status_code, stored.json()["errors"][0]["pointer"])


@pytest.mark.parametrize("provider", ["swift"])
async def test_what_the_sender_fetches_is_held_against_its_own_guard(
    database_url: str, provider: str
) -> None:
    async with installation(database_url, provider) as home:
        answer = await post(home, THEM, PRIVATE[0], text=None)
        message = await home.until(answer.json()["data"][0]["id"], "rejected")

    assert "media_error" == message["error"]["class"]
