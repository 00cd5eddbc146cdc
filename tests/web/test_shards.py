"""What the pages and the API of one agent of several say of the others."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

from smtpcheck.model.shard import Shard, ShardAssignment
from tests.web.conftest import Client
from tests.web.world import World

PAGE = {"Accept": "text/html"}


def one_of_three(world: World) -> World:
    """Return the world as that of an agent beside two others."""
    names = tuple(check.name for check in world.settings.checks)
    sharding = ShardAssignment(Shard(1, 3), (("elsewhere",), names, ()), (), {"elsewhere": 0})
    world.settings = replace(world.settings, sharding=sharding)
    return world


async def test_every_page_says_which_shard_it_is(world: World, connect: Callable[[World], Awaitable[Client]]) -> None:
    several = await connect(one_of_three(world))
    for path in ("/", "/checks/billing", "/checks/nowhere"):
        assert "Shard 1/3" in await (await several.get(path, headers=PAGE)).text()


async def test_an_agent_that_is_alone_says_nothing_of_shards(client: Client) -> None:
    assert "Shard" not in await (await client.get("/", headers=PAGE)).text()
    answer = await (await client.get("/api/v1/shards")).json()
    assert (answer["shard"], answer["shards"], len(answer["checks"]), len(answer["checks"][0])) == (0, 1, 1, 6)


async def test_a_check_of_another_agent_is_not_found_and_says_where_it_is(
    world: World, connect: Callable[[World], Awaitable[Client]]
) -> None:
    client = await connect(one_of_three(world))
    for answer in (await client.get("/api/v1/checks/elsewhere"), await client.post("/api/v1/checks/elsewhere/run")):
        assert (answer.status, await answer.json()) == (
            404,
            {"error": "the check elsewhere is run by another agent: shard 0/3"},
        )
    page = await client.get("/checks/elsewhere", headers=PAGE)
    assert (page.status, "shard 0/3" in await page.text()) == (404, True)
    assert (await (await client.get("/api/v1/checks/nowhere")).json()) == {"error": "there is no check named nowhere"}


async def test_the_api_names_the_checks_of_every_agent(
    world: World, connect: Callable[[World], Awaitable[Client]]
) -> None:
    client = await connect(one_of_three(world))
    answer = await (await client.get("/api/v1/shards")).json()
    assert (answer["shard"], answer["shards"]) == (1, 3)
    assert [len(names) for names in answer["checks"]] == [1, 6, 0]
