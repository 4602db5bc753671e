"""Fetching the media that a customer names, from this machine only."""

import asyncio
import mimetypes
from ipaddress import ip_address
from urllib.parse import urlsplit

import httpx

from simulator.lines import ANSWER_WITHIN, Lines


class Unfetchable(Exception):
    """A media file that the carrier cannot copy; the message says why."""


async def content_type(lines: Lines, url: str) -> str | None:
    """Gets *url* and returns its media type; None, and no request, for a host that is not this machine.

    Raises ``Unfetchable`` where Sinch says that it rejects: no Content-Length, chunked, no usable
    Content-Type (https://developers.sinch.com/docs/mms/api-reference/mms).
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        raise Unfetchable("not a URL") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Unfetchable("not an http or https URL")
    if not _on_this_machine(parts.hostname):
        return None
    try:
        async with (
            lines.line() as client,
            asyncio.timeout(ANSWER_WITHIN),
            client.stream("GET", url) as response,
        ):
            kind = _declared(response, parts.path)
            async for _ in response.aiter_raw():
                pass
    except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as failure:
        raise Unfetchable(type(failure).__name__) from None
    return kind


def _on_this_machine(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _declared(response: httpx.Response, path: str) -> str:
    if response.status_code != httpx.codes.OK:
        raise Unfetchable(f"HTTP {response.status_code}")
    if "transfer-encoding" in response.headers or "content-length" not in response.headers:
        raise Unfetchable("no Content-Length")
    declared: str = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if declared in ("", "application/octet-stream"):
        # rejected only when nothing else tells the type; the name of the file may tell it
        declared = mimetypes.guess_type(path)[0] or ""
    if not declared:
        raise Unfetchable("no usable Content-Type")
    return declared
