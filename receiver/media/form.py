"""The file in an HTML form (``multipart/form-data``, RFC 7578)."""

import re
from dataclasses import dataclass

from python_multipart.multipart import parse_options_header

from receiver.multipart import parts

#: parts of a form; ours has one
MOST_PARTS = 20
#: characters of a header's value that are read: a file's name, its type, a boundary
LONGEST_VALUE = 1024

_HEADER = re.compile(rb"^(content-disposition|content-type):[ \t]*([^\r\n]*)", re.IGNORECASE | re.MULTILINE)


class Malformed(Exception):
    """A form that holds no file, or several, or that is none; the message says which, for people."""


@dataclass(frozen=True, slots=True)
class _File:
    name: bytes
    content_type: str | None
    content: bytes


def file_in(body: bytes, content_type: str) -> tuple[bytes, str | None, str]:
    """The content of the one file in *body*, what it is said to be, and its name. Raises ``Malformed``."""
    _, options = parse_options_header(content_type[:LONGEST_VALUE])
    if not options.get(b"boundary"):
        raise Malformed("The form's Content-Type names no boundary.")
    files = _files(body, options[b"boundary"])
    if len(files) != 1:
        raise Malformed(f"The form holds {len(files) or 'no'} files; send one, with its name.")
    [file] = files
    return file.content, file.content_type, file.name.decode("utf-8", "replace")


def _files(body: bytes, boundary: bytes) -> list[_File]:
    files: list[_File] = []
    number = 0
    for number, part in enumerate(parts(body, boundary), start=1):
        if number > MOST_PARTS:
            raise Malformed(f"The form has more than {MOST_PARTS} parts; send one file, with its name.")
        if not part.closed:
            raise Malformed("The form ends before its last boundary.")
        headers = {name.lower(): value[:LONGEST_VALUE] for name, value in _HEADER.findall(part.head)}
        _, options = parse_options_header(headers.get(b"content-disposition"))
        if b"filename" in options:
            claimed = headers.get(b"content-type")
            kind = claimed.decode("latin-1") if claimed else None
            files.append(_File(options[b"filename"], kind, part.content))
    if not number:
        raise Malformed("The form cannot be read: its boundary is nowhere in it.")
    return files
