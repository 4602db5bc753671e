"""The files of a send: addresses as they stand, and uploads by their ids."""

from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from urllib.parse import urlsplit
from uuid import UUID

from uuid_utils.compat import uuid7

from models import File
from models.sends import OutgoingMedia, StoredFile
from receiver import addresses
from receiver.addresses import Forbidden
from receiver.auth import Channels, scope_of
from receiver.config import ChannelSettings, Network
from receiver.media import CONTENT_TYPES, Files
from receiver.problems import Code, invalid
from receiver.providers.base import Provider
from receiver.providers.reading import content_type
from receiver.requests import MediaSource
from receiver.rows import MediaRow


class Attachments:
    """Carriers fetch from public addresses, or from *networks*."""

    def __init__(self, files: Files, networks: Sequence[Network]) -> None:
        self._files, self._networks = files, networks

    async def of(
        self,
        named: Mapping[str, MediaSource],
        channel: ChannelSettings,
        provider: Provider,
        *,
        base: str,
        scope: str,
        channels: Channels,
        lasting: bool = False,
    ) -> tuple[OutgoingMedia, ...]:
        """Returns the files for the carrier to fetch or to be given, of those *named* by their JSON pointers;
        nothing is fetched or resolved here.

        *base* is how a carrier on this machine reaches us. Addresses that are *lasting* have no end; others
        are made anew with each call (`sender.files`). A key with the name *scope* that is bound to *channels*
        may send what keys of that name upload that are bound to the same ones. Raises ``Problem``.
        """
        wanted = [source.id for source in named.values() if source.id is not None]
        found = {
            file_id: file
            for file_id, file in (await self._files.find(wanted)).items()
            if channels is None or file.api_key == scope_of(scope, channels)
        }
        return tuple(
            self._outgoing(pointer, source, found, channel, provider, base, lasting=lasting)
            for pointer, source in named.items()
        )

    def _outgoing(
        self,
        pointer: str,
        source: MediaSource,
        found: Mapping[UUID, File],
        channel: ChannelSettings,
        provider: Provider,
        base: str,
        *,
        lasting: bool,
    ) -> OutgoingMedia:
        if source.url is not None:
            media = OutgoingMedia(
                source.url, source.content_type or content_type(source.url), pointer=pointer
            )
            ours = bool(base) and source.url.startswith(f"{base}/media/")
            if provider.fetches(media) and not (ours and _on_this_machine(channel, provider)):
                self._hold_public(f"{pointer}/url", source.url, provider)
            return media
        file = found.get(source.id) if source.id else None
        if file is None:
            raise invalid(f"{pointer}/id", "There is no such file.", Code.MEDIA_ERROR)
        if file.content_type not in CONTENT_TYPES:
            raise invalid(f"{pointer}/id", "The file is of no type that MMS carries.", Code.MEDIA_ERROR)
        links = self._files.store.links
        if not (provider.takes_files or links.public_url or _on_this_machine(channel, provider)):
            detail = f"{provider.name} fetches files from us: set public_url to where it can reach us."
            raise invalid(f"{pointer}/id", detail, Code.MEDIA_ERROR)
        return OutgoingMedia(
            url=(links.lasting if lasting else links.to)(file.id, file.name, base),
            content_type=file.content_type,
            name=file.name,
            file=StoredFile(file.id, file.sha256, file.size),
            pointer=pointer,
        )

    def _hold_public(self, pointer: str, url: str, provider: Provider) -> None:
        try:
            addresses.check_public(urlsplit(url).hostname or "", self._networks)
        except (Forbidden, ValueError) as error:
            detail = f"{provider.name} fetches the file: its address must be publicly accessible, and {error}"
            raise invalid(pointer, detail, Code.MEDIA_ERROR) from None


def row(message_id: UUID, position: int, media: OutgoingMedia) -> MediaRow:
    """What is kept of a file of a send; one that we hold keeps its own id."""
    held = media.file
    return MediaRow(
        message_id=message_id,
        position=position,
        id=held.id if held else uuid7(),
        url=media.url,
        content_type=media.content_type,
        state="stored",
        size=held.size if held else None,
    )


def _on_this_machine(channel: ChannelSettings, provider: Provider) -> bool:
    """Whether every address of the carrier is on loopback: a practice carrier, which reaches us as we do."""
    urls = provider.addresses(channel)
    return bool(urls) and all(_is_loopback(urlsplit(url).hostname or "") for url in urls)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
