"""Which instances there are, page by page."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from tests.parity.flows import EPOCH, Context
from tests.parity.hub import Hub

FAR = datetime(2100, 1, 1, tzinfo=UTC)


@pytest.mark.parity("list/base")
async def test_list_holds_all_ids_in_order_of_creation(hub: Hub) -> None:
    def flow(ctx: Context):
        return (yield ctx.child("Child"))

    flows = {"Flow": flow, "Child": lambda _: "done"}
    async with hub.sidecar() as sidecar, sidecar.worker(flows):
        assert await sidecar.client.page() == ([], None)
        for instance_id in ("b", "a", "ü|@ %_"):
            await sidecar.client.start("Flow", instance_id)
            await sidecar.client.output(instance_id)
        expected = ["b", "b:0000", "a", "a:0000", "ü|@ %_", "ü|@ %_:0000"]
        assert await sidecar.client.page() == (expected, None)


@pytest.mark.needs("multi_process")
@pytest.mark.parity("list/multiple")
async def test_every_sidecar_returns_the_same_list(hub: Hub) -> None:
    async with hub.sidecar() as one, hub.sidecar() as two, hub.sidecar() as three:
        ids = [f"{number * 7 % 9}" for number in range(9)]
        for place, instance_id in enumerate(ids):
            await (one, two, three)[place % 3].client.start("Flow", instance_id, at=FAR)
        for sidecar in (one, two, three):
            assert await sidecar.client.ids() == ids


@pytest.mark.parity("list/escape")
async def test_wildcards_are_characters_like_others(hub: Hub) -> None:
    ids = {"a_b": ["x_y", "x%y"], "axb": ["xzy"], "a%": ["percent"], "a.b": []}
    for app, own in ids.items():
        async with hub.sidecar(app) as sidecar:
            for instance_id in own:
                await sidecar.client.start("Flow", instance_id, at=FAR)
    for app, own in ids.items():
        async with hub.sidecar(app) as sidecar:
            assert await sidecar.client.ids() == own
            found = [await sidecar.client.get(name) for name in ("x_y", "xzy", "x%")]
            assert [one.exists for one in found] == ["x_y" in own, "xzy" in own, False]


@pytest.mark.parity("list/pagination")
async def test_page_holds_1024_ids(hub: Hub) -> None:
    names = [f"{number:04}" for number in range(1030)]
    async with hub.sidecar() as sidecar:
        client = sidecar.client
        for first in range(0, len(names), 103):
            some = names[first : first + 103]
            await asyncio.gather(*(client.start("Flow", name, at=FAR) for name in some))
        page, token = await client.page()
        assert len(page) == 1024
        rest, end = await client.page(token=token)
        assert (len(rest), end) == (6, None)
        assert sorted([*page, *rest]) == names
        assert await client.page(size=1030) == ([*page, *rest], None)


@pytest.mark.parity("list/purge")
async def test_list_follows_what_is_purged_and_created(hub: Hub) -> None:
    async with hub.sidecar() as sidecar, sidecar.worker(lambda _: "done"):
        for instance_id in "abc":
            await sidecar.client.start("Flow", instance_id)
        await sidecar.client.purge("a")
        assert await sidecar.client.ids() == ["b", "c"]
        await sidecar.client.start("Flow", "a", at=EPOCH)
        assert await sidecar.client.ids() == ["b", "c", "a"]
        await sidecar.client.output("a")
        for instance_id in "abc":
            await sidecar.client.purge(instance_id)
        assert await sidecar.client.page() == ([], None)
