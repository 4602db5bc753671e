"""A form with files, as RFC 7578 has it, for carriers that take the files inside the call."""

from collections.abc import Mapping
from dataclasses import dataclass

_ESCAPES = str.maketrans({'"': "%22", "\r": "%0D", "\n": "%0A"})


@dataclass(frozen=True, slots=True)
class Upload:
    """A file of a form."""

    name: str
    content_type: str
    content: bytes


def encoded(boundary: str, fields: Mapping[str, str | Upload]) -> bytes:
    """The body. *boundary* must not occur in it: the caller takes something that nobody can foresee."""
    parts: list[bytes] = []
    for name, value in fields.items():
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name.translate(_ESCAPES)}"'
        if isinstance(value, Upload):
            head += f'; filename="{value.name.translate(_ESCAPES)}"\r\nContent-Type: {value.content_type}'
        content = value.content if isinstance(value, Upload) else value.encode()
        parts.append(head.encode() + b"\r\n\r\n" + content + b"\r\n")
    return b"".join(parts) + f"--{boundary}--\r\n".encode()


def content_type(boundary: str) -> str:
    return f"multipart/form-data; boundary={boundary}"
