"""The files of messages: what they are, where they lie, and the addresses under which carriers fetch them."""

from receiver.media.arriving import Link, arrived, contents
from receiver.media.files import Files, Unusable, Unwritable
from receiver.media.form import Malformed, file_in
from receiver.media.links import PREFIX, Links
from receiver.media.sniff import CONTENT_TYPES, type_of
from receiver.media.store import LARGEST, Store

__all__ = [
    "CONTENT_TYPES",
    "LARGEST",
    "PREFIX",
    "Files",
    "Link",
    "Links",
    "Malformed",
    "Store",
    "Unusable",
    "Unwritable",
    "arrived",
    "contents",
    "file_in",
    "type_of",
]
