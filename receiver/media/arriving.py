"""Files that come inside a carrier's callback."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from hashlib import sha256
from uuid import UUID

from uuid_utils.compat import uuid7

from models.events import Event, Inbound, MediaPart
from receiver.media.links import file_name
from receiver.media.sniff import UNKNOWN, type_of
from receiver.media.words import is_layout, text_in
from receiver.rows import MediaRow

#: files of one message; each is fetched, stored, and shown whenever its message is
MOST_FILES = 30
#: makes the address of a file from its id and its name
Link = Callable[[UUID, str], str]


def contents(events: Iterable[Event]) -> Iterator[bytes]:
    """The bytes of every file inside *events*; they are stored before the rows that name them."""
    for event in events:
        if isinstance(event, Inbound):
            yield from (part.content for part in unpacked(event).media if part.content is not None)


def unpacked(inbound: Inbound) -> Inbound:
    """*inbound* with the words of its text parts in its text, without its layout, and with `MOST_FILES` of
    its files at most; its metadata say how many were not taken."""
    if all(part.content is None for part in inbound.media):
        return _bounded(inbound)
    said, files = [inbound.text], []
    for part in inbound.media:
        if part.content is None:
            files.append(part)
        elif (text := text_in(part.content, part.content_type)) is not None:
            said.append(text)
        elif not is_layout(part.content, part.content_type):
            files.append(part)
    text = "\n".join(filter(None, said)) or inbound.text
    return _bounded(replace(inbound, text=text, media=tuple(files)))


def _bounded(inbound: Inbound) -> Inbound:
    more = len(inbound.media) - MOST_FILES
    if more <= 0:
        return inbound
    metadata = {**inbound.metadata, "files_not_taken": more}
    return replace(inbound, media=inbound.media[:MOST_FILES], metadata=metadata)


def arrived(message_id: UUID, position: int, part: MediaPart, link: Link | None) -> MediaRow:
    """The row of *part*: stored where its bytes came and *link* is given, else still with the carrier.

    What is not of the MMS set is kept as well, because a carrier's words are never thrown away; it is
    served as bytes of no type.
    """
    file_id = uuid7()
    if part.content is None or link is None:
        return MediaRow(message_id, position, file_id, part.url, part.content_type, "pending")
    content_type = type_of(part.content, part.content_type) or UNKNOWN
    name = file_name(part.name, content_type)
    return MediaRow(
        message_id=message_id,
        position=position,
        id=file_id,
        url=link(file_id, name),
        content_type=content_type,
        state="stored",
        size=len(part.content),
        sha256=sha256(part.content).digest(),
        name=name,
    )
