"""The file in an HTML form (``multipart/form-data``, RFC 7578)."""

from collections.abc import Callable
from dataclasses import dataclass, field

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header


class Malformed(Exception):
    """A form that holds no file, or several, or that is none; the message says which, for people."""


@dataclass(slots=True)
class _Part:
    headers: dict[bytes, bytes] = field(default_factory=dict)
    content: bytearray = field(default_factory=bytearray)

    @property
    def file_name(self) -> bytes | None:
        _, options = parse_options_header(self.headers.get(b"content-disposition"))
        return options.get(b"filename")


def file_in(body: bytes, content_type: str) -> tuple[bytes, str | None, str]:
    """The content of the one file in *body*, what it is said to be, and its name. Raises ``Malformed``."""
    _, options = parse_options_header(content_type)
    if not options.get(b"boundary"):
        raise Malformed("The form's Content-Type names no boundary.")
    files = [part for part in _parts(body, options[b"boundary"]) if part.file_name is not None]
    if len(files) != 1:
        raise Malformed(f"The form holds {len(files) or 'no'} files; send one, with its name.")
    [file] = files
    claimed = file.headers.get(b"content-type")
    name = (file.file_name or b"").decode("utf-8", "replace")
    return bytes(file.content), claimed.decode("latin-1") if claimed else None, name


def _parts(body: bytes, boundary: bytes) -> list[_Part]:
    parts: list[_Part] = []
    ended: list[bool] = []
    header, value = bytearray(), bytearray()

    def begin() -> None:
        parts.append(_Part())

    def header_ended() -> None:
        parts[-1].headers[bytes(header).lower()] = bytes(value)
        header.clear()
        value.clear()

    def added_to(buffer: bytearray) -> Callable[[bytes, int, int], None]:
        return lambda data, start, end: buffer.extend(data[start:end])

    try:
        parser = MultipartParser(
            boundary,
            {
                "on_part_begin": begin,
                "on_header_field": added_to(header),
                "on_header_value": added_to(value),
                "on_header_end": header_ended,
                "on_part_data": lambda data, start, end: parts[-1].content.extend(data[start:end]),
                "on_end": lambda: ended.append(True),
            },
        )
        parser.write(body)
        parser.finalize()
    except FormParserError as error:
        raise Malformed(f"The form cannot be read: {error}") from None
    if not ended:
        raise Malformed("The form ends before its last boundary.")
    return parts
