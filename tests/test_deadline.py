"""A test that hangs is ended, and shows where each of its tasks waits."""

import asyncio

import pytest

from tests.support.deadline import Hangs, ends_in_time


async def waits_for_nothing() -> None:
    await asyncio.Event().wait()


def test_what_hangs_is_ended_and_says_where_it_waits() -> None:
    with pytest.raises(Hangs, match="waits_for_nothing"), ends_in_time("this", 0.3):
        asyncio.run(waits_for_nothing())
