"""What Cellcast's two APIs have in common: whom they reach, who may send, and how a call is made."""

import re
from abc import abstractmethod
from collections.abc import Iterator

from models.sends import Call, OutgoingMedia, Problem, Submission
from receiver.config import ChannelSettings
from receiver.providers import checks, multipart, reading
from receiver.providers.base import Provider

REGION = "AU"

_SENDER_NAME = re.compile(r"[A-Za-z0-9 -]{1,11}")
_SENDER_NUMBER = re.compile(r"\+?[0-9]{1,16}")


class CellcastApi(Provider):
    """JSON, or a form with one file, to a thousand numbers at once, under one address and one key."""

    kinds = frozenset({"sms", "mms"})
    region = REGION
    recipients_per_call = 1000
    takes_files = True

    @abstractmethod
    def proof(self, channel: ChannelSettings) -> dict[str, str]:
        """The header that shows whose call it is."""

    def call_to(
        self,
        method: str,
        path: str,
        channel: ChannelSettings,
        body: bytes = b"",
        content_type: str = "application/json",
    ) -> Call:
        return Call(
            method=method,
            url=reading.joined(channel.option("base_url") or self.keys["base_url"], path),
            headers={
                **self.proof(channel),
                "accept": "application/json",
                "content-type": content_type,
            },
            body=body,
        )


def numbers(submission: Submission) -> list[str]:
    return list(submission.recipients) or [submission.recipient or ""]


def sender(named: str | None) -> str | None:
    """A sender as Cellcast writes it: digits without ``+``, or a name as it is."""
    return named and named.removeprefix("+")


def sender_problems(carrier: str, named: str | None) -> Iterator[Problem]:
    if named and not (_SENDER_NUMBER.fullmatch(named) or _SENDER_NAME.fullmatch(named)):
        detail = "names of at most 11 letters, digits, blanks and dashes, or numbers of at most 16 digits"
        yield Problem("/from", f"{carrier} takes as sender {detail}")


def upload(file: OutgoingMedia, types: dict[str, str]) -> multipart.Upload:
    """*file* as a part of a form. Its content must have been fetched."""
    if file.content is None:
        raise ValueError("a file that goes out inside the call must be fetched before it")
    kind = checks.plain_type(file) or "application/octet-stream"
    return multipart.Upload(file.name or f"file.{types.get(kind, 'bin')}", kind, file.content)
