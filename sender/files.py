"""Files that go out inside a call: from our own disk, or from where the caller said that they lie."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from models.errors import ErrorClass
from models.sends import OutgoingMedia, StoredFile, Submission
from receiver.config import ChannelSettings, Network
from receiver.http import NotSent, Unfetchable, fetch
from receiver.media import LARGEST, Store, type_of
from receiver.providers.base import Provider
from receiver.providers.reading import moment


class UnusableFile(Exception):
    """The message cannot be sent with this file; nothing was called. The message says why, for people."""

    def __init__(self, detail: str, error: ErrorClass = ErrorClass.MEDIA_ERROR) -> None:
        super().__init__(detail)
        self.error = error


class OutgoingFiles:
    """Files by address come from public ones, or from *networks*."""

    def __init__(self, store: Store, networks: Sequence[Network]) -> None:
        self._store, self.networks = store, networks

    def addressed(self, submission: Submission) -> Submission:
        """Returns *submission* with addresses of our files made now, for long enough: a carrier may hold
        a send until the latest time that its options name. Those of a template have no end."""
        if submission.action != "send" or not submission.media:
            return submission
        times = filter(None, (moment(value) for value in submission.options.values()))
        until = max(times, default=datetime.now(UTC))
        media = (
            replace(file, url=self._store.links.for_carrier(file.file.id, file.url, until))
            if file.file
            else file
            for file in submission.media
        )
        return replace(submission, media=tuple(media))

    async def put_into(self, submission: Submission) -> Submission:
        """*submission* with the content of all its files.

        Raises ``UnusableFile``, and ``NotSent`` where another try may find what this one did not.
        """
        media = await asyncio.gather(*(self._with_content(file) for file in submission.media))
        return replace(submission, media=tuple(media))

    async def _with_content(self, media: OutgoingMedia) -> OutgoingMedia:
        if media.file:
            return replace(media, content=await self._read(media.file))
        try:
            fetched = await fetch(media.url, self.networks, LARGEST)
        except Unfetchable as error:
            raise UnusableFile(f"the media cannot be fetched: {error}") from None
        claimed = fetched.content_type or media.content_type
        content_type = type_of(fetched.content, claimed)
        if content_type is None:
            raise UnusableFile("the media is of no type that MMS carries")
        return replace(media, content=fetched.content, content_type=content_type)

    async def _read(self, file: StoredFile) -> bytes:
        try:
            return await asyncio.to_thread(self._store.read, file.sha256)
        except FileNotFoundError:
            raise UnusableFile(f"the file {file.id} is not in the sender's store of files") from None
        except OSError as error:
            raise NotSent(f"the file {file.id} cannot be read: {error.strerror}") from error


def check_files(submission: Submission, provider: Provider, channel: ChannelSettings) -> None:
    """The carrier's limits on files, now that their types and sizes are certain. Raises ``UnusableFile``."""
    for problem in provider.check(submission, channel):
        if problem.pointer.startswith(("/media", "/slides")):
            too_large = problem.code == "content_too_large"
            raise UnusableFile(
                problem.detail, ErrorClass.CONTENT_TOO_LARGE if too_large else ErrorClass.MEDIA_ERROR
            )
