"""The files of inbound messages, served by the practice carrier itself; the newest 1,000 are kept."""

import base64
from collections import OrderedDict
from uuid import uuid4

CAPACITY = 1_000
PATH = "/practice/files"

#: a picture for those who have none at hand: one grey pixel
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg=="
)
_TYPES = {"txt": "text/plain; charset=utf-8", "smil": "application/smil", "png": "image/png"}


class Files:
    def __init__(self) -> None:
        self._files: OrderedDict[str, bytes] = OrderedDict()

    def keep(self, content: bytes, extension: str) -> str:
        """Keeps *content* and returns the path under which it is served."""
        name = f"{uuid4().hex}.{extension}"
        self._files[name] = content
        if len(self._files) > CAPACITY:
            self._files.popitem(last=False)
        return f"{PATH}/{name}"

    def read(self, name: str) -> tuple[bytes, str] | None:
        """The content and its type, None for a name that was never given or is forgotten."""
        content = PIXEL if name == "pixel.png" else self._files.get(name)
        return None if content is None else (content, _TYPES[name.rpartition(".")[2]])
