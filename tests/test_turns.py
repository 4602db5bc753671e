"""Callers of the API who come all at once leave turns to everybody else."""

import asyncio

from receiver.turns import AT_ONCE, Turns


async def test_of_a_thousand_callers_at_once_a_few_begin_between_two_rounds_of_the_event_loop() -> None:
    turns, begun, between = Turns(), 0, list[int]()

    async def caller() -> None:
        nonlocal begun
        await turns.come()
        begun += 1

    callers = [asyncio.create_task(caller()) for _ in range(1000)]
    while begun < 1000:
        before = begun
        await asyncio.sleep(0)
        between.append(begun - before)
    await asyncio.gather(*callers)

    assert AT_ONCE == max(between)


async def test_a_caller_who_hangs_up_takes_nobodys_turn() -> None:
    turns, came = Turns(), list[int]()

    async def caller(number: int) -> None:
        await turns.come()
        came.append(number)

    callers = [asyncio.create_task(caller(number)) for number in range(10)]
    await asyncio.sleep(0)
    for gone in callers[4:8]:
        gone.cancel()
    await asyncio.gather(*callers, return_exceptions=True)

    assert [0, 1, 2, 3, 8, 9] == came
