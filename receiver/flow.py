"""When a connection is read on: uvicorn's flow control, and a bound on what is read ahead of the answers."""

import asyncio
from collections.abc import Callable

from uvicorn.protocols.http.flow_control import FlowControl


class Flow(FlowControl):
    """Reads no further while it is *full*: while requests wait for the answer to one before them. uvicorn
    reads on at each answer and whenever a body is asked for, 64 KiB more for each of them."""

    def __init__(self, transport: asyncio.Transport, full: Callable[[], bool]) -> None:
        super().__init__(transport)
        self._full = full

    def resume_reading(self) -> None:
        if not self._full():
            super().resume_reading()
