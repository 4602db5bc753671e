"""Work beside the work of a process: it ends with the block, and the block ends with it."""

import asyncio

import pytest

from receiver.endless import beside


async def forever() -> None:
    await asyncio.Event().wait()


async def fails() -> None:
    raise LookupError("a mistake of ours")


async def test_a_work_that_fails_ends_the_block_with_its_error() -> None:
    with pytest.raises(LookupError, match="a mistake of ours"):
        async with asyncio.timeout(10), beside(forever(), fails()):
            await forever()


async def test_works_end_with_the_block_once_they_have_cleaned_up() -> None:
    cleaned = asyncio.Event()

    async def careful() -> None:
        try:
            await forever()
        finally:
            await asyncio.sleep(0.01)
            cleaned.set()

    async with beside(careful(), forever()):
        await asyncio.sleep(0)

    assert cleaned.is_set()


async def test_what_fails_while_it_cleans_up_ends_nothing() -> None:
    async def clumsy() -> None:
        try:
            await forever()
        finally:
            raise OSError("the database is away")

    async with beside(clumsy()):
        await asyncio.sleep(0)


async def test_the_error_of_the_block_is_its_own() -> None:
    with pytest.raises(KeyError):
        async with beside(forever()):
            raise KeyError("the block's")
