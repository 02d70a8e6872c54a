"""A row in a wave, some calls of which have a reply while others wait for theirs."""

from __future__ import annotations

import asyncio

from refinecli.models.batch.waves import ParkedRow


def test_a_parked_call_waits_for_those_that_follow_replies_which_are_being_stored() -> None:
    came: list[str] = []

    async def main() -> None:
        row, disk = ParkedRow(), asyncio.Event()

        async def parked() -> None:
            await row.settled()
            came.append("parked")

        async def answered() -> None:
            with row.storing():
                await disk.wait()
            await asyncio.sleep(0)
            came.append("the next call")

        calls = [asyncio.ensure_future(call()) for call in (parked, answered, parked)]
        for _ in range(100):
            await asyncio.sleep(0)
        assert came == []
        disk.set()
        await asyncio.gather(*calls)

    asyncio.run(main())
    assert came == ["the next call", "parked", "parked"]


def test_a_parked_call_in_a_row_with_nothing_to_store_does_not_wait() -> None:
    asyncio.run(asyncio.wait_for(ParkedRow().settled(), 30))
