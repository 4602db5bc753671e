"""Files that carriers fetch themselves, looked at before: what will fail there is better told here."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from time import monotonic

from models.sends import Hosted, OutgoingMedia, Submission
from receiver.config import ChannelSettings, Network
from receiver.http import Gone, Hopeless, NotSent, Unfetchable, look
from receiver.providers.base import MEDIA_CHECK, Provider
from receiver.providers.checks import plain_type
from sender.files import UnusableFile, check_files

#: seconds for which what a server said counts for other messages with the same file
REMEMBERED = 60.0
#: files of which it is remembered
MOST_REMEMBERED = 256


class Looking:
    """Looks at files on public addresses, or on *networks*."""

    def __init__(self, networks: Sequence[Network]) -> None:
        self._networks = networks
        self._known: dict[str, tuple[float, Hosted]] = {}

    async def at(
        self, submission: Submission, provider: Provider, channel: ChannelSettings
    ) -> tuple[Submission, tuple[str, ...]]:
        """Returns *submission* with the types that servers give its files, and why the carrier may not take
        them, in sentences. What we hold ourselves, and what no carrier fetches, is not looked at.

        Raises ``UnusableFile`` where it will not, unless the channel wants to be warned only, and ``NotSent``
        where another try may find the type of a file that nobody knows.
        """
        if not provider.looks(channel):
            return submission, ()
        seen = await asyncio.gather(*(self._seen(file, provider) for file in submission.media))
        wrong = tuple(f"file {place} {why}" for place, (_, why) in enumerate(seen, 1) if why)
        if wrong and channel.option(MEDIA_CHECK) != "warn":
            raise UnusableFile(wrong[0])
        looked_at = replace(submission, media=tuple(file for file, _ in seen))
        if provider.needs_types and any(plain_type(file) is None for file in looked_at.media):
            raise UnusableFile("; ".join([*wrong, "nobody says of which type the file is"]))
        check_files(looked_at, provider, channel)
        return looked_at, wrong

    async def _seen(self, file: OutgoingMedia, provider: Provider) -> tuple[OutgoingMedia, str | None]:
        """Returns *file* with its type, and what is wrong with it."""
        if file.file is not None:
            return file, None
        unknown = provider.needs_types and plain_type(file) is None
        try:
            hosted = await self._hosted(file.url)
        except (Gone, Hopeless) as error:
            return file, f"is not publicly accessible ({error})"
        except Unfetchable as error:
            if unknown:
                raise UnusableFile(f"nobody says of which type the file is: {error}") from None
            return file, None
        except NotSent:
            if unknown:
                raise
            return file, None
        wrong = provider.judge(hosted)
        # a type that the carrier takes, where it is only the way of serving that is wrong
        typed = unknown and provider.judge(replace(hosted, chunked=False, length=1)) is None
        if hosted.content_type and (wrong is None or typed):
            file = replace(file, content_type=hosted.content_type)
        return file, wrong

    async def _hosted(self, url: str) -> Hosted:
        at, known = self._known.get(url, (0.0, None))
        if known is not None and monotonic() - at < REMEMBERED:
            return known
        found = await look(url, self._networks)
        self._known.pop(url, None)
        self._known[url] = monotonic(), found
        if len(self._known) > MOST_REMEMBERED:
            del self._known[next(iter(self._known))]
        return found
