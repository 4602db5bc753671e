"""The files of messages: what they are, where they lie, and the addresses under which carriers fetch them."""

from receiver.media.arriving import Link, arrived, contents, unpacked
from receiver.media.files import Files, Unusable, Unwritable
from receiver.media.form import Malformed, file_in
from receiver.media.links import PREFIX, Links, Seal, file_name
from receiver.media.sniff import CONTENT_TYPES, UNKNOWN, type_of
from receiver.media.store import LARGEST, LARGEST_RECEIVED, Place, Store, links_of, place_of, store_of
from receiver.media.words import is_layout, text_in

__all__ = [
    "CONTENT_TYPES",
    "LARGEST",
    "LARGEST_RECEIVED",
    "PREFIX",
    "UNKNOWN",
    "Files",
    "Link",
    "Links",
    "Malformed",
    "Place",
    "Seal",
    "Store",
    "Unusable",
    "Unwritable",
    "arrived",
    "contents",
    "file_in",
    "file_name",
    "is_layout",
    "links_of",
    "place_of",
    "store_of",
    "text_in",
    "type_of",
    "unpacked",
]
