"""Signs of life of a child process: it says when it is ready, and its event loop gives a sign a second, so
that its supervisor knows a child that hangs.

The loop's signs go through a pipe. A child that has never given one is not judged: it may be starting, or be
a program that knows nothing of this.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

#: the environment variable with the number of the file descriptor that a child writes to
VARIABLE = "SIGNS_OF_LIFE_FD"
#: seconds between two signs, and between two looks for them
EVERY = 1.0
#: looks in a row without a sign after which a child hangs
SILENT_LOOKS = 10
#: seconds by which a look may be late and still say something about the child
LATE = 1.0


@asynccontextmanager
async def shown() -> AsyncIterator[None]:
    """Gives signs of life while the context lasts, where a supervisor has asked for them."""
    given = os.environ.pop(VARIABLE, "")
    if not given:
        yield
        return
    descriptor = int(given)
    os.set_blocking(descriptor, False)
    _sign(descriptor)  # at once: whatever hangs from here on has given one, and is judged
    signs = asyncio.create_task(_give(descriptor))
    try:
        yield
    finally:
        signs.cancel()
        await asyncio.wait({signs})
        os.close(descriptor)


async def _give(descriptor: int) -> None:
    while True:
        await asyncio.sleep(EVERY)
        _sign(descriptor)


def _sign(descriptor: int) -> None:
    with suppress(BlockingIOError):  # nobody has read for a long while
        os.write(descriptor, b".")


def ready(address: str) -> None:
    """Tells the supervisor, or somebody who looks on, that requests are taken at *address*."""
    print(f"ready {address}", flush=True)


class Signs:
    """The supervisor's end of the pipe to one child, which is to inherit *descriptor*."""

    def __init__(self) -> None:
        self._read, self.descriptor = os.pipe()
        os.set_blocking(self._read, False)

    def inherited(self) -> None:
        """Closes this process's copy of what the child has by now, or never will."""
        os.close(self.descriptor)

    def close(self) -> None:
        os.close(self._read)

    async def missed(self) -> None:
        """Returns once the child has given signs and then none for `SILENT_LOOKS` looks.

        A look that is itself late does not count: the machine was suspended, or has no time for anybody.
        """
        loop = asyncio.get_running_loop()
        heard, silent = False, 0
        while silent < SILENT_LOOKS:
            due = loop.time() + EVERY
            await asyncio.sleep(EVERY)
            if self._came():
                heard, silent = True, 0
            elif heard and loop.time() <= due + LATE:
                silent += 1

    def _came(self) -> bool:
        try:
            return bool(os.read(self._read, 4096))
        except BlockingIOError:
            return False
