"""Fields whose names a carrier documents nowhere: under the channel's own names, then under known ones."""

from collections.abc import Iterator, Mapping
from typing import Any

from receiver.config import ChannelSettings
from receiver.providers import reading

#: our name -> theirs, best first, as `reading.folded` writes them; a point leads into an object
Names = Mapping[str, tuple[str, ...]]


def own_names(channel: ChannelSettings) -> Mapping[str, Any]:
    """Returns the channel's ``fields``: our names, and the carrier's keys for them."""
    own = channel.extra.get("fields")
    return own if isinstance(own, dict) else {}


def misconfigured(channel: ChannelSettings, names: Names) -> str | None:
    """Returns what is wrong with the channel's ``fields``, in a sentence; None if nothing is."""
    own, where = channel.extra.get("fields") or {}, f"channels.{channel.name}.fields"
    if not isinstance(own, dict):
        return f'{where} must be a table of names, such as {{ from = "caller" }}.'
    for name, theirs in own.items():
        if name not in names:
            return f'Unknown name "{name}" in {where}; the known ones are {", ".join(names)}.'
        if not all(isinstance(path, str) for path in (theirs if isinstance(theirs, list) else [theirs])):
            return f"{where}.{name} must be one of the carrier's keys, or a list of them."
    return None


def own_values(found: Mapping[str, Any], own: Mapping[str, Any], name: str) -> Iterator[Any]:
    """Yields what stands under each of the channel's *own* keys for *name*, None where nothing does."""
    theirs = own.get(name)
    for path in theirs if isinstance(theirs, list) else [theirs]:
        if isinstance(path, str):
            yield inside(found, ".".join(map(reading.folded, path.split("."))))


def values(found: Mapping[str, Any], own: Mapping[str, Any], name: str, names: Names) -> Iterator[Any]:
    """Yields what stands under each key for *name*, the channel's *own* first, None where nothing does."""
    yield from own_values(found, own, name)
    for path in names[name]:
        yield inside(found, path)


def inside(fields: Mapping[str, Any], path: str) -> Any:
    """Returns what *path* leads to, None where it leads nowhere."""
    first, *rest = path.split(".")
    value = fields.get(first)
    for step in rest:
        value = reading.inner(value).get(step)
    return value
