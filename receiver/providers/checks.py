"""Limits of which several carriers have figures of their own; a problem names the field and the figure."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from models.sends import OutgoingMedia, Problem
from receiver.providers import reading

#: an option's name -> what it must be, in words, and whether a value is that
Options = Mapping[str, tuple[str, Callable[[Any], bool]]]


def too_long(carrier: str, pointer: str, what: str, most: int, found: int) -> Iterator[Problem]:
    """*what* is the unit with the thing measured: "characters of subject"."""
    if found > most:
        detail = f"{carrier} takes at most {most} {what}; this message has {found}"
        yield Problem(pointer, detail, code="content_too_large")


def not_taken(carrier: str, pointer: str, what: str, value: object) -> Iterator[Problem]:
    """Refuses what would be lost on the way."""
    if value:
        yield Problem(pointer, f"{carrier} takes no {what}")


def options(carrier: str, given: Mapping[str, Any], known: Options) -> Iterator[Problem]:
    for name, value in given.items():
        pointer = "/options/" + name.replace("~", "~0").replace("/", "~1")
        if name not in known:
            names = f"knows the options {', '.join(known)}" if known else "knows no options"
            yield Problem(pointer, f"{carrier} {names}", code="unknown_field")
        elif not known[name][1](value):
            yield Problem(pointer, f"must be {known[name][0]}")


def one_file(
    carrier: str, media: Sequence[OutgoingMedia], types: Mapping[str, str], most: int
) -> Iterator[Problem]:
    """One file of *types* (with their names for people) and *most* bytes. A type that nobody knows and a
    size are held against the limit once the file has been fetched."""
    if not media:
        yield Problem("/media", f"{carrier} needs a file with an MMS")
    yield from too_long(carrier, "/media", "files", 1, len(media))
    for place, file in enumerate(media):
        kind = plain_type(file)
        if kind not in types and (kind or file.content is not None):
            detail = f"{carrier} takes {', '.join(dict.fromkeys(types.values()))}; this is none of them"
            yield Problem(f"/media/{place}/url", detail, code="media_error")
        yield from too_long(carrier, f"/media/{place}/url", "bytes of a file", most, file.size or 0)


def plain_type(file: OutgoingMedia) -> str | None:
    """What *file* is said to be, without parameters and in lower case, else what its extension promises."""
    said = (file.content_type or "").partition(";")[0].strip().lower()
    return said or reading.content_type(file.url)
