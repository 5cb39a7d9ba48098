"""The ready-made routes, as a page uses them, over real connections."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from starlette.requests import Request

from tests.runs.support import LosingLog, kinds, run
from unbroken import Hub
from unbroken.errors import MissingExtraError
from unbroken.runs import SYSTEM, Run, Runs
from unbroken.testing import open_stream
from unbroken.wire import DecodedEvent, Decoder

fastapi = pytest.importorskip("fastapi")
httpx2 = pytest.importorskip("httpx2")
uvicorn = pytest.importorskip("uvicorn")

JANE = {"user": "jane"}
BOB = {"user": "bob"}
NOBODY: dict[str, str] = {}


def stated(user: str | None = fastapi.Header(None)) -> str | None:
    """Return who asks, as a dependency of FastAPI."""
    return user


async def awaited(request):  # type: ignore[no-untyped-def] # as people write it
    """Return who asks, after a question of its own."""
    await asyncio.sleep(0)
    return request.headers.get("user")


def refusing(request: Request) -> str:
    """Let nobody in."""
    raise fastapi.HTTPException(401, "Log in.")


STATED, IN_HEADER, IN_COOKIE = fastapi.Depends(stated), fastapi.Header(None), fastapi.Cookie(None)


def by_dependency(user=STATED):  # type: ignore[no-untyped-def] # as people write it
    """Return who asks, of whom another dependency knows."""
    return user


def by_header(user=IN_HEADER):  # type: ignore[no-untyped-def] # as above
    """Return who asks, from a header."""
    return user


def by_cookie(user=IN_COOKIE):  # type: ignore[no-untyped-def] # as above
    """Return who asks, from a cookie."""
    return user


THREADS: set[str] = set()


def threaded(request):  # type: ignore[no-untyped-def] # as above
    """Return who asks, and note where that was looked up."""
    THREADS.add(threading.current_thread().name)
    return request.headers.get("user")


OWNERS: dict[str, Any] = {
    "depends": by_dependency,
    "header": by_header,
    "cookie": by_cookie,
    "threaded": threaded,
    "dependency": stated,
    "lambda": lambda request: request.headers.get("user"),
    "async": awaited,
    "refusing": refusing,
    "system": lambda request: SYSTEM,
}


async def talk(run: Run, words: int, stays: bool = False) -> None:
    """Send so many words; then end, or wait to be cancelled."""
    for number in range(words):
        await run.send(f"{number} ")
    if stays:
        await asyncio.Event().wait()


def application(runs: Runs) -> Any:
    """Return an application with a route that starts, and the ready-made ones for several kinds of owner."""
    app = fastapi.FastAPI(lifespan=runs.lifespan)

    async def start(
        words: int,
        stays: bool = False,
        name: str | None = None,
        group: str | None = None,
        user: str | None = fastapi.Header(None),
    ) -> str:
        return (await runs.start(talk, words, stays, id=name, owner=user, group=group)).id

    app.post("/start")(start)
    app.include_router(runs.router(owner=stated, heartbeat=3.0))
    app.include_router(runs.router("/open"))
    for name, owner in OWNERS.items():
        app.include_router(runs.router(owner=owner), prefix=f"/{name}")
    return app


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    """Return a client of the application on a server."""
    with serving(application(Runs(Hub("memory://")))) as url, httpx2.Client(base_url=url, timeout=20.0) as it:
        yield it


@contextmanager
def serving(app: Any) -> Iterator[str]:
    """Serve an application by uvicorn, in a thread, and give its URL."""
    # Connections are kept for longer than the client keeps them: what closes one in the moment of its use is not ours.
    options = {"timeout_keep_alive": 60, "timeout_graceful_shutdown": 1}
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", **options))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


def start(client: Any, words: int = 3, headers: dict[str, str] = NOBODY, **query: Any) -> str:
    """Start a run, and return its id."""
    return str(client.post("/start", params={"words": words, **query}, headers=headers).json())


@contextmanager
def reading(client: Any, url: str, headers: dict[str, str] = NOBODY) -> Iterator[Iterator[DecodedEvent]]:
    """Read a stream, event by event."""
    with client.stream("GET", url, headers=headers) as response:
        assert response.status_code == 200
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        decoder = Decoder()
        yield (event for chunk in response.iter_bytes() for event in decoder.feed(chunk))


def read(client: Any, url: str, headers: dict[str, str] = NOBODY) -> list[DecodedEvent]:
    """Read a stream to its end."""
    with reading(client, url, headers) as events:
        return list(events)


def ids(client: Any, url: str, headers: dict[str, str] = NOBODY) -> list[str]:
    """Return the ids of the runs in a list."""
    return [info["id"] for info in client.get(url, headers=headers).raise_for_status().json()]


def test_a_page_that_is_refreshed_goes_on(client: Any) -> None:
    """By the cursor of the header or of the query; and 204 when it has the end."""
    name = start(client, 5, JANE)
    with reading(client, f"/runs/{name}", JANE) as events:
        seen = [next(events) for _ in range(3)]
    cursor = seen[-1].last_event_id
    by_header = read(client, f"/runs/{name}", {**JANE, "last-event-id": cursor})
    by_query = read(client, f"/runs/{name}?last_event_id={cursor}", JANE)
    assert by_header == by_query
    assert kinds(seen + by_header) == ["run-start", *["message"] * 5, "run-end"]
    assert [event.data for event in seen[1:] + by_header[:3]] == [f"{number} " for number in range(5)]
    last = next(event for event in by_header if event.event == "run-end").last_event_id
    assert client.get(f"/runs/{name}", headers={**JANE, "last-event-id": last}).status_code == 204


def test_where_a_page_begins_is_its_choice(client: Any) -> None:
    """`from=now` of a run that has ended is its end; a word that is none is told, and so is a cursor that is none."""
    name = start(client, 5)
    assert kinds(read(client, f"/open/{name}"))[-1] == "run-end"
    assert kinds(read(client, f"/open/{name}?from=now")) == ["run-end"]
    assert client.get(f"/open/{name}?from=end").status_code == 422
    assert client.get(f"/open/{name}?last_event_id=undefined").status_code == 400


def test_the_stream_refuses_as_the_other_routes_do(client: Any) -> None:
    """In JSON, as OpenAPI says; and who asks for the head alone is told what he would get."""
    name = start(client, 1, JANE, stays=True)
    for path in ("/runs/unknown", f"/runs/{name}/info", f"/runs/{name}"):
        answer = client.get(path, headers=BOB)
        assert (answer.status_code, answer.json()) == (404, {"detail": "There is no such run."})
    head = client.head(f"/runs/{name}", headers=JANE)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["stream-run"] == name
    assert client.head(f"/runs/{name}", headers=BOB).status_code == 404


def test_stop_is_a_request_of_its_own(client: Any) -> None:
    """It ends the run for all who read it; what was sent can be read. To ask twice changes nothing."""
    name = start(client, 2, JANE, stays=True)
    with reading(client, f"/runs/{name}", JANE) as events:
        while next(events).data != "1 ":
            pass
        answer = client.post(f"/runs/{name}/cancel", headers=JANE)
        assert (answer.status_code, answer.json()["id"]) == (202, name)
        end = next(events)
        assert (end.event, json.loads(end.data)["status"]) == ("run-end", "cancelled")
    assert client.post(f"/runs/{name}/cancel", headers=JANE).json()["status"] == "cancelled"
    assert kinds(read(client, f"/runs/{name}", JANE)) == ["run-start", "message", "message", "run-end"]
    assert client.get(f"/runs/{name}/info", headers=JANE).json()["status"] == "cancelled"


def test_a_page_that_comes_back_finds_what_is_active(client: Any) -> None:
    """Its own, in all groups or in one; what has ended is not active."""
    one, other = (start(client, 1, JANE, stays=True, group=group) for group in ("one", "other"))
    assert {one, other} <= set(ids(client, "/runs", JANE))
    assert ids(client, "/runs?group=one", JANE) == [one]
    (info,) = client.get("/runs?group=one", headers=JANE).json()
    assert info == client.get(f"/runs/{one}/info", headers=JANE).json()
    assert {**info, "started_at": 0} == {
        "id": one, "status": "running", "group": "one", "attempt": 1, "started_at": 0, "ended_at": None,
    }  # fmt: skip
    client.post(f"/runs/{one}/cancel", headers=JANE)
    read(client, f"/runs/{one}", JANE)
    assert ids(client, "/runs?group=one", JANE) == []


def test_another_owners_run_is_as_if_there_were_none(client: Any) -> None:
    """The same answer as for an id that somebody made up; and nothing is done to the run."""
    name = start(client, 1, JANE, stays=True, group="private")
    for headers in (BOB, NOBODY):
        for method, path in (("GET", ""), ("GET", "/info"), ("POST", "/cancel")):
            asked, made_up = (client.request(method, f"/runs/{it}{path}", headers=headers) for it in (name, "x" * 22))
            assert asked.status_code == made_up.status_code == 404
            assert asked.content == made_up.content
        assert ids(client, "/runs?group=private", headers) == []
    assert client.get(f"/runs/{name}/info", headers=JANE).json()["status"] == "running"


def test_the_id_of_a_run_without_an_owner_is_not_given_away(client: Any) -> None:
    """It is all that protects the run: who knows the group is told, and whoever just asks is not."""
    name = start(client, 1, stays=True, group="of nobody")
    assert ids(client, "/open?group=of+nobody") == [name]
    assert client.get("/open").status_code == 400
    assert client.get("/runs").status_code == 400
    for headers in (JANE, NOBODY):  # there are owners here: the group is theirs to know
        assert ids(client, "/runs?group=of+nobody", headers) == []
    assert name not in ids(client, "/runs", JANE)
    assert name in ids(client, "/system/runs")


@pytest.mark.parametrize("group", ["", "a\nb", "x" * 1000], ids=["empty", "two lines", "long"])
def test_a_group_that_cannot_be_has_no_runs(client: Any, group: str) -> None:
    """Whatever stands in a query is no fault of the server's."""
    answer = client.get("/runs", params={"group": group}, headers=JANE)
    assert (answer.status_code, answer.json()) == (200, [])


@pytest.mark.parametrize("name", ["chat/7", "a b", " a", "grüße", "info", "x/info"])
def test_an_id_may_be_what_the_application_calls_it(client: Any, name: str) -> None:
    """It is escaped as any part of a path; slashes need not be."""
    start(client, 1, JANE, name=name)
    path = f"/runs/{name}"
    assert client.get(f"{path}/info", headers=JANE).json()["id"] == name
    assert client.post(f"{path}/cancel", headers=JANE).status_code == 202
    if not name.endswith("/info"):
        assert kinds(read(client, path, JANE))[-1] == "run-end"


@pytest.mark.parametrize("way", ["dependency", "lambda", "async", "depends", "header"])
def test_who_asks_is_said_in_any_way(client: Any, way: str) -> None:
    """By a dependency of FastAPI, or by a function of the request; what stands in the query counts for nothing."""
    name = start(client, 1, JANE, stays=True)
    assert name in ids(client, f"/{way}/runs", JANE)
    assert client.get(f"/{way}/runs/{name}/info", headers=JANE).status_code == 200
    for query in ("", "?user=jane", "?reader=jane", "?request=jane", "?owner=jane"):
        assert client.get(f"/{way}/runs/{name}/info{query}", headers=BOB).status_code == 404


@pytest.mark.parametrize("way", ["depends", "header", "cookie"])
def test_a_parameter_that_fastapi_fills_is_no_request(client: Any, way: str) -> None:
    """It has no annotation, as that of a function of the request; who says nothing is nobody all the same."""
    name = start(client, 1, JANE, stays=True)
    assert client.get(f"/{way}/runs").status_code == 400
    assert client.get(f"/{way}/runs/{name}/info").status_code == 404
    assert client.post(f"/{way}/runs/{name}/cancel").status_code == 404
    said = {"cookie": "user=jane"} if way == "cookie" else JANE
    assert client.get(f"/{way}/runs/{name}/info", headers=said).json()["status"] == "running"


def test_a_function_that_blocks_is_called_in_a_thread(client: Any) -> None:
    """The event loop has the streams of all."""
    client.get("/threaded/runs", headers=JANE).raise_for_status()
    assert not any(name.startswith(("MainThread", "Thread-")) for name in THREADS), THREADS


def test_who_may_all_and_who_may_nothing(client: Any) -> None:
    """SYSTEM sees each owner's; what the function raises is the answer of each route."""
    name = start(client, 1, JANE, stays=True)
    assert client.get(f"/system/runs/{name}/info").status_code == 200
    for method, path in (("GET", ""), ("GET", f"/{name}"), ("GET", f"/{name}/info"), ("POST", f"/{name}/cancel")):
        assert client.request(method, f"/refusing/runs{path}", headers=JANE).status_code == 401


def test_the_streams_have_the_options_of_the_router(client: Any) -> None:
    """As `Runs.response` takes them."""
    name = start(client, 1)
    for prefix, heartbeat in (("/runs", "3"), ("/open", "15")):
        assert client.get(f"{prefix}/{name}").headers["stream-heartbeat"] == heartbeat


def test_a_log_that_is_away_is_503() -> None:
    """Also where it has to be asked for a run that this process does not know."""

    async def main() -> None:
        log = LosingLog()
        runs = Runs(Hub(log))
        app = fastapi.FastAPI()
        app.include_router(runs.router(owner=stated))
        async with runs:
            log.away = True
            for method, path in (("GET", ""), ("GET", "/x"), ("GET", "/x/info"), ("POST", "/x/cancel")):
                async with open_stream(app, f"/runs{path}", method=method, headers=JANE, timeout=1000.0) as stream:
                    await stream.until_end()
                    assert (stream.status, stream.headers["retry-after"]) == (503, "5"), path
            log.away = False

    run(main())


def test_open_api_tells_all() -> None:
    """The answers have models, the stream its media type and where it may begin, and refusals their status."""
    app = fastapi.FastAPI()
    app.include_router(Runs(Hub("memory://")).router("/answers", owner=stated, tags=["chat"]))
    schema = app.openapi()
    operations = {(method, path): it for path, item in schema["paths"].items() for method, it in item.items()}
    assert set(operations) == {
        ("get", "/answers"), ("get", "/answers/{id}"), ("get", "/answers/{id}/info"), ("post", "/answers/{id}/cancel"),
    }  # fmt: skip
    assert all(it["tags"] == ["chat"] and it["description"] for it in operations.values())
    assert len({it["operationId"] for it in operations.values()}) == 4
    info = {"$ref": "#/components/schemas/RunInfo"}
    assert model(operations["get", "/answers"], "200")["items"] == info
    assert model(operations["get", "/answers/{id}/info"], "200") == info
    assert model(operations["post", "/answers/{id}/cancel"], "202") == info
    stream = operations["get", "/answers/{id}"]
    assert list(stream["responses"]["200"]["content"]) == ["text/event-stream"]
    names = {(it["in"], it["name"]) for it in stream["parameters"]}
    assert names == {
        ("path", "id"), ("query", "from"), ("query", "last_event_id"), ("header", "Last-Event-ID"), ("header", "user"),
    }  # fmt: skip
    for (_, path), operation in operations.items():
        assert ("404" in operation["responses"]) is ("{id}" in path)
    fields = schema["components"]["schemas"]["RunInfo"]["properties"]
    assert set(fields) == {"id", "status", "group", "attempt", "started_at", "ended_at"}


def model(operation: Any, status: str) -> Any:
    """Return the schema of an answer."""
    return operation["responses"][status]["content"]["application/json"]["schema"]


def test_without_fastapi_the_rest_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs do not need it; who asks for the routes is told what to install."""
    code = "import sys, unbroken.runs; print({'fastapi', 'pydantic'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
    monkeypatch.delitem(sys.modules, "unbroken.runs.router", raising=False)
    monkeypatch.setitem(sys.modules, "fastapi", None)
    with pytest.raises(MissingExtraError, match=r"unbroken\[fastapi\]"):
        Runs(Hub("memory://")).router()
