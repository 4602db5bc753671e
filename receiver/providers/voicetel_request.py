"""What a send becomes for VoiceTel in its generations 2 (forms) and 2.2 (JSON), and what limits it may break.

Generation 2: https://www.voicetel.com/api/SMS.html; generation 2.2: https://voicetel.com/docs/api/v2.2/.
"""

import re
from collections.abc import Iterator
from urllib.parse import urlencode

import orjson

from models.sends import Call, Problem, Submission
from receiver.config import ChannelSettings
from receiver.providers import checks
from receiver.providers.reading import joined

BASE_URL = "https://api.voicetel.com"
FORMS, CURRENT = "2", "2.2"
#: of generation 2; generation 2.2 splits texts into parts of 160 and names no figure for a subject
LONGEST_TEXT, LONGEST_SUBJECT = 160, 40
#: generation 2 asks for ten digits, 2.2 for those of the North American plan
_NUMBERS = {
    FORMS: re.compile(r"\+1\d{10}", re.ASCII),
    CURRENT: re.compile(r"\+1[2-9]\d\d[2-9]\d{6}", re.ASCII),
}


def send(submission: Submission, channel: ChannelSettings) -> Call:
    """The request that makes the carrier send a checked *submission*."""
    return _json(submission, channel) if generation(channel) == CURRENT else _form(submission, channel)


def receipts(number: str, channel: ChannelSettings) -> Call:
    """Asks for the receipts of *number*. Without bounds 2.2 tells those of the last 24 hours."""
    query = urlencode({"type": "dlr", "number": _digits(number)})
    return Call("GET", _url(channel, f"v2.2/messages?{query}"), _authorized(channel), b"")


def problems(submission: Submission, channel: ChannelSettings) -> Iterator[Problem]:
    """Every limit that *submission* breaks."""
    yield from recipient_problems(submission, channel)
    if submission.sender is None:
        yield Problem("/from", "VoiceTel needs a sender; name one, or list the channel's numbers")
    elif not sendable(submission.sender, channel):
        yield Problem("/from", "VoiceTel sends from one of its own numbers only: +1 and ten digits")
    if not submission.text and not submission.media:
        yield Problem("/text", "VoiceTel needs a text or media")
    if submission.subject and not submission.media:
        yield Problem("/subject", "VoiceTel takes a subject only with media")
    if generation(channel) == FORMS:
        yield from _lengths(submission)
    yield from checks.not_taken(
        "VoiceTel", "/fallback_text", "text to send instead", submission.fallback_text
    )
    yield from checks.options("VoiceTel", submission.options, {})


def recipient_problems(submission: Submission, channel: ChannelSettings) -> Iterator[Problem]:
    """The limits that the recipient of *submission* breaks."""
    if not sendable(submission.recipient, channel):
        yield Problem("/to", "VoiceTel sends to numbers of the USA and Canada only: +1 and ten digits")


def misconfigured(channel: ChannelSettings) -> str | None:
    api = channel.option("api")
    if api in ("", FORMS, CURRENT):
        return None
    return f'channels.{channel.name}.api must be "{FORMS}" or "{CURRENT}".'


def generation(channel: ChannelSettings) -> str:
    return CURRENT if channel.option("api") == CURRENT else FORMS


def sendable(number: str | None, channel: ChannelSettings) -> bool:
    return _NUMBERS[generation(channel)].fullmatch(number or "") is not None


def _form(submission: Submission, channel: ChannelSettings) -> Call:
    fields = {
        "apikey": channel.option("api_key"),
        "source": _digits(submission.sender),
        "destination": _digits(submission.recipient),
        "messageText": submission.text or "",
    }
    if submission.media:
        fields["mmsURL"] = submission.media[0].url
    if submission.subject:
        fields["mmsSubject"] = submission.subject
    return Call(
        method="POST",
        url=_url(channel, "v2/mms/" if submission.media else "v2/sms/"),
        # the page asks for multipart; the one client that is known to work posts this
        headers={"content-type": "application/x-www-form-urlencoded", "accept": "application/json"},
        body=urlencode(fields).encode(),
    )


def _json(submission: Submission, channel: ChannelSettings) -> Call:
    fields = {
        "fromNumber": _digits(submission.sender),
        "toNumber": _digits(submission.recipient),
        "text": submission.text or "",  # a required field, of a picture without words too
        "subject": submission.subject,
        "mediaUrls": [file.url for file in submission.media],
    }
    return Call(
        method="POST",
        url=_url(channel, "v2.2/messages"),
        headers={**_authorized(channel), "content-type": "application/json"},
        body=orjson.dumps({name: value for name, value in fields.items() if value or name == "text"}),
    )


def _lengths(submission: Submission) -> Iterator[Problem]:
    text, subject, files = submission.text or "", submission.subject or "", len(submission.media)
    yield from checks.too_long("VoiceTel", "/text", "characters of text", LONGEST_TEXT, len(text))
    yield from checks.too_long("VoiceTel", "/subject", "characters of subject", LONGEST_SUBJECT, len(subject))
    yield from checks.too_long("VoiceTel", "/media", "files", 1, files)


def _url(channel: ChannelSettings, path: str) -> str:
    return joined(channel.option("base_url") or BASE_URL, path)


def _authorized(channel: ChannelSettings) -> dict[str, str]:
    return {"authorization": f"Bearer {channel.option('api_key')}", "accept": "application/json"}


def _digits(number: str | None) -> str:
    """A number as VoiceTel writes it: without the country code."""
    return (number or "").removeprefix("+1")
