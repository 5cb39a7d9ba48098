"""What a stream is called: the template of its path, in whatever way frameworks leave it."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Host, Mount, Route

from unbroken.stream import labels
from unbroken.stream.labels import client_of, route_of
from unbroken.testing import open_stream


def told(scope: Any) -> Response:
    """Answer with the route, and with what is found without `route`, which older Starlettes do not leave."""
    older = {key: value for key, value in scope.items() if key != "route"}
    return PlainTextResponse(f"{route_of(scope)} {route_of(older)}")


async def endpoint(request: Request) -> Response:
    """Say which route this is."""
    return told(request.scope)


async def other(request: Request) -> Response:
    """Say the same."""
    return told(request.scope)


async def with_argument(argument: int, request: Request) -> Response:
    """Say the same."""
    return told(request.scope)


class Endpoint(HTTPEndpoint):
    async def get(self, request: Request) -> Response:
        return told(request.scope)


class Controller:
    async def method(self, request: Request) -> Response:
        return told(request.scope)


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Be an ASGI application without routes."""
    await told(scope)(scope, receive, send)


def starlette_app() -> Starlette:
    """Return an application with a route of every kind."""
    return Starlette(
        routes=[
            Route("/rooms/{room}/events", endpoint),
            Route("/numbers/{n:int}", endpoint),
            Route("/class", Endpoint),
            Route("/partial", partial(with_argument, 1)),
            Mount("/team/{team}", routes=[Route("/events/{id}", other), Route("/method", Controller().method)]),
            Mount("/raw", app=application),
            Host("api.example", app=Starlette(routes=[Route("/host", other)])),
            Mount("/", routes=[Route("/below-nothing", Endpoint)]),
        ]
    )


def ask(app: Any, path: str, **options: Any) -> str:
    """Return what an application says at a path."""

    async def main() -> str:
        async with open_stream(app, path, **options) as stream:
            await stream.until_end()
            return stream.received.decode()

    return asyncio.run(main())


ROUTES = [
    ("/rooms/7/events", "/rooms/{room}/events"),
    ("/numbers/7", "/numbers/{n:int}"),
    ("/class", "/class"),
    ("/partial", "/partial"),
    ("/team/red/events/7", "/team/{team}/events/{id}"),
    ("/team/red/method", "/team/{team}/method"),
    ("/raw/any/path", "/raw"),
    ("/below-nothing", "/below-nothing"),
]


@pytest.mark.parametrize(("path", "route"), ROUTES)
def test_a_route_of_starlette(path: str, route: str) -> None:
    """Mounted prefixes are part of the template; one endpoint on two routes has the one that was asked for."""
    assert ask(starlette_app(), path) == f"{route} {route}"


@pytest.mark.parametrize(("path", "route"), ROUTES)
def test_a_prefix_that_a_proxy_takes_off_is_no_part_of_it(path: str, route: str) -> None:
    """`root_path` is where the application is mounted outside, and the same deployed elsewhere has the same routes."""
    assert ask(starlette_app(), "/outside" + path, scope={"root_path": "/outside"}) == f"{route} {route}"


def test_a_route_of_a_host() -> None:
    """The host is not in the path."""
    assert ask(starlette_app(), "/host", headers={"host": "api.example"}) == "/host /host"


def test_one_application_mounted_twice() -> None:
    """The same route has the prefix by which it was reached."""
    sub = Starlette(routes=[Route("/events/{id}", endpoint)])
    app = Starlette(routes=[Mount("/one", app=sub), Mount("/two", app=sub)])
    assert ask(app, "/one/events/1") == "/one/events/{id} /one/events/{id}"
    assert ask(app, "/two/events/1") == "/two/events/{id} /two/events/{id}"


def fastapi_app(fastapi: Any) -> Any:
    """Return an application with routers in routers, included twice, and mounts."""

    async def item(request: Request) -> Response:
        return told(request.scope)

    deep = fastapi.APIRouter()
    deep.get("/deep/{id}")(item)
    router = fastapi.APIRouter(prefix="/r")
    router.get("/items/{id}")(item)
    router.include_router(deep, prefix="/n")
    sub = fastapi.FastAPI()
    sub.include_router(router, prefix="/x")
    sub.add_route("/plain", endpoint)
    app = fastapi.FastAPI()
    app.get("/top/{id}")(item)
    app.include_router(router, prefix="/v1")
    app.include_router(router, prefix="/v2")
    app.mount("/sub", sub)
    app.mount("/starlette", starlette_app())
    return app


FASTAPI_ROUTES = [
    ("/top/7", "/top/{id}"),
    ("/v1/r/items/7", "/v1/r/items/{id}"),
    ("/v2/r/items/7", "/v2/r/items/{id}"),
    ("/v2/r/n/deep/7", "/v2/r/n/deep/{id}"),
    ("/sub/x/r/items/7", "/sub/x/r/items/{id}"),
    ("/sub/plain", "/sub/plain"),
    ("/starlette/team/red/events/7", "/starlette/team/{team}/events/{id}"),
]


@pytest.mark.parametrize(("path", "route"), FASTAPI_ROUTES)
def test_a_route_of_fastapi(path: str, route: str) -> None:
    """The prefixes of routers are part of it, however often and wherever a router is included."""
    app = fastapi_app(pytest.importorskip("fastapi"))
    assert ask(app, path) == f"{route} {route}"
    assert ask(Starlette(routes=[Mount("/o", app=app)]), "/o" + path) == f"/o{route} /o{route}"


def test_without_a_router_there_is_no_route() -> None:
    """A path is no label: anyone can make up more of them."""
    assert ask(application, "/any/path") == "None None"


def test_a_route_that_only_its_own_router_knows() -> None:
    """A framework that leaves a route and nothing else still has its path told."""

    class Known:
        path = "/known/{id}"

    assert route_of({"type": "http", "path": "/known/1", "route": Known()}) == "/known/{id}"


def test_what_is_remembered_is_bounded() -> None:
    """Endpoints that are made by the thousand are not kept."""

    def new_endpoint(_: int) -> Any:
        return lambda request: told(request.scope)

    for number in range(labels.REMEMBERED + 100):
        made = new_endpoint(number)
        router = Starlette(routes=[Route(f"/{number}", made)]).router
        assert route_of({"path": f"/{number}", "router": router, "endpoint": made}) == f"/{number}"
    assert len(labels._remembered) <= labels.REMEMBERED


def test_a_client_is_host_and_port() -> None:
    """Over a Unix socket there is none."""
    assert client_of({"client": ("192.0.2.1", 5000)}) == "192.0.2.1:5000"
    assert client_of({"client": None}) is None
    assert client_of({}) is None


def test_a_framework_that_fails_to_tell_costs_no_stream() -> None:
    """FastAPI makes an included router's routes when they are looked at first: then the route's own path must do."""

    class Included:
        def effective_route_contexts(self) -> None:
            raise TypeError("not so")

    class Router:
        routes = (Included(),)

    route = Route("/here", endpoint)
    scope = {"type": "http", "path": "/here", "router": Router(), "endpoint": endpoint, "route": route}
    assert route_of(scope) == "/here"
    assert route_of({**scope, "route": None}) is None
