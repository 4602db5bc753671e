"""Storage only: where carriers' requests wait, on disk, while Postgres is away.

One SQLite file per process in ``<data_dir>/spool``, owned under a lock; `receiver.ingest` fills it and
`receiver.drain` empties it. What cannot be read any more lies in ``<data_dir>/spool/damaged``.
"""

from receiver.spool.claim import directory
from receiver.spool.erasing import erase, waiting
from receiver.spool.file import Kept, Record
from receiver.spool.keeper import Figures, SpoolError, SpoolFull
from receiver.spool.spool import CAPACITY, Spool, abandoned

__all__ = [
    "CAPACITY",
    "Figures",
    "Kept",
    "Record",
    "Spool",
    "SpoolError",
    "SpoolFull",
    "abandoned",
    "directory",
    "erase",
    "waiting",
]
