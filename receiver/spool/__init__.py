"""Storage only: where carriers' requests and answers wait, on disk, while Postgres is away.

One SQLite file per process in ``<data_dir>/spool``, owned under a lock; `receiver.ingest` fills it and
`receiver.drain` empties it. Answers to sends wait in the same form in ``<data_dir>/answers``, with the
sender. What cannot be read any more lies in ``damaged`` beside the files.
"""

from receiver.spool.claim import answers, directory
from receiver.spool.erasing import erase, waiting
from receiver.spool.file import Kept, Record
from receiver.spool.keeper import Figures, SpoolError, SpoolFull
from receiver.spool.spool import CAPACITY, Spool, abandoned, created

__all__ = [
    "CAPACITY",
    "Figures",
    "Kept",
    "Record",
    "Spool",
    "SpoolError",
    "SpoolFull",
    "abandoned",
    "answers",
    "created",
    "directory",
    "erase",
    "waiting",
]
