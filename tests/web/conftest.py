"""A world, and a client that asks its application."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from smtpcheck.diagnosis.catalogue import Catalogue, load
from smtpcheck.web import create_app
from tests.web.world import NOW, World, rich_world

Client = TestClient[web.Request, web.Application]


@pytest.fixture(scope="session")
def catalogue() -> Catalogue:
    return load()


@pytest.fixture
def world(catalogue: Catalogue) -> World:
    return rich_world(catalogue)


@pytest.fixture
async def connect() -> AsyncIterator[Callable[[World], Awaitable[Client]]]:
    """Return what makes a client of a world's application."""
    clients: list[Client] = []

    async def make(world: World) -> Client:
        clients.append(TestClient(TestServer(create_app(world, clock=lambda: NOW))))
        await clients[-1].start_server()
        return clients[-1]

    yield make
    for client in clients:
        await client.close()


@pytest.fixture
async def client(world: World, connect: Callable[[World], Awaitable[Client]]) -> Client:
    return await connect(world)
