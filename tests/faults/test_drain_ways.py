"""Shutdowns that no signal to the serving process tells of, and streams that make one hard."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import pytest

from .cells import TINY_RECEIVE_BUFFER, wait_for
from .clients import Client
from .http2 import READ_BYTES, Http2Client
from .servers import SERVERS, Server, ServerKind
from .shutdowns import (
    Streams,
    end_of,
    has_ended,
    open_streams,
    press_ctrl_c,
    read_all,
    serving,
    shut_down,
    terminate,
)

STREAMS: Streams = {"sleeping": 10, "ticking": 10, "parting": 10, "sync": 10}
DEAF = "/stream/busy?size=1024&drain_grace=2"
TIMEOUT = 20.0
UVICORN = "uvicorn-h11-asyncio"
KINDS = (UVICORN, "hypercorn", "granian", "daphne")

Act = Callable[[Server], None]
Ends = dict[str, set[tuple[str | None, bool]]]


def variant(name: str, *more: str) -> ServerKind:
    """Return a server of the matrix with further arguments."""
    return ServerKind(" ".join((name, *more)), (*SERVERS[name].command, *more))


def ends(clients: Mapping[str, list[Client]]) -> Ends:
    """Say of each kind how its bodies ended, and whether with our last words."""
    return {kind: {(end, retry is not None) for end, retry in map(end_of, group)} for kind, group in clients.items()}


GOOD: set[tuple[str | None, bool]] = {("complete", True)}
WELL: Ends = dict.fromkeys(STREAMS, GOOD)


def hang_up(server: Server) -> None:
    """Have the workers replaced."""
    server.process.send_signal(signal.SIGHUP)


def process(server: Server) -> bytes | None:
    """Return the id of the process that answers, if one does."""
    try:
        return server.get("/process")[1]
    except OSError:
        return None


def ask(server: Server) -> None:
    """Make a request: a worker is to serve only so many. What comes after them is the next one's."""
    process(server)


def replace_worker(kind: ServerKind, act: Act = ask) -> tuple[Ends, Ends]:
    """Open streams, act until another process serves, and say how they ended, and how those of the new one end."""
    with serving(kind) as server:
        first = process(server)
        clients = open_streams(server, STREAMS)
        act(server)
        assert wait_for(lambda: process(server) not in (None, first), TIMEOUT, interval=0.01)
        read_all(clients, TIMEOUT)
        later = open_streams(server, STREAMS)
        press_ctrl_c(server)
        read_all(later, TIMEOUT)
        assert has_ended(server, TIMEOUT)
    return ends(clients), ends(later)


def test_all_workers_of_one_server_drain() -> None:
    """Each of uvicorn's own workers ends its streams, and tells its application."""
    kind = variant(UVICORN, "--workers", "2")
    full = shut_down(kind, STREAMS, terminate, timeout=TIMEOUT)
    idle = shut_down(kind, {}, terminate, timeout=TIMEOUT)
    assert ends(full.clients) == WELL
    assert (full.ended, full.returncode, full.lifespans_ended) == (True, idle.returncode, 2)
    assert full.loud() == []


@pytest.mark.parametrize(
    ("kind", "act"),
    [
        (variant("gunicorn", "--max-requests", "80"), ask),
        (variant("gunicorn"), hang_up),
        (variant("granian"), hang_up),
    ],
    ids=["gunicorn --max-requests", "gunicorn HUP", "granian HUP"],
)
def test_a_worker_that_is_replaced_drains(kind: ServerKind, act: Act) -> None:
    """Its clients are told and come back to its successor, whose streams end as well."""
    assert replace_worker(kind, act) == (WELL, WELL)


def test_a_worker_of_hypercorn_that_has_served_enough_drains(tmp_path: Path) -> None:
    """It stops listening, without any signal."""
    settings = tmp_path / "hypercorn.toml"
    settings.write_text("max_requests = 80\n")
    assert replace_worker(variant("hypercorn", "--config", str(settings))) == (WELL, WELL)


def test_a_reload_drains(tmp_path: Path) -> None:
    """With `--reload` a changed file ends the streams, and the new process serves; Ctrl-C ends that one's."""
    file = tmp_path / "watched.py"
    file.write_text("")

    def edit(server: Server) -> None:
        # The supervisor may not have looked at the file yet: then the first change is no change to it.
        assert wait_for(lambda: bool(file.write_text(f"{file.stat()}")) and "Reloading" in server.stderr(), TIMEOUT)

    kind = variant(UVICORN, "--reload", "--reload-dir", str(tmp_path))
    assert replace_worker(kind, edit) == (WELL, WELL)


@pytest.mark.parametrize("name", [UVICORN, "uvicorn-httptools-uvloop"])
def test_a_process_that_has_served_enough_drains(name: str) -> None:
    """Uvicorn's `--limit-max-requests` ends the process, as soon as its streams let it."""

    def ask_enough(server: Server) -> None:
        assert wait_for(lambda: process(server) is None, TIMEOUT, interval=0.01)

    full = shut_down(variant(name, "--limit-max-requests", "50"), STREAMS, ask_enough, timeout=TIMEOUT)
    assert ends(full.clients) == WELL
    assert (full.ended, full.lifespans_ended, full.loud()) == (True, 1, [])


@pytest.mark.parametrize("name", KINDS)
def test_generators_that_resist_are_ended_after_the_grace(name: str) -> None:
    """A cleanup without end, a loop that swallows everything, a blocked thread: none holds up a server or a stream."""
    streams = {"lingering": 2, "resisting": 2, "sync-blocking": 2, "parting": 10}
    full = shut_down(name, streams, terminate, timeout=TIMEOUT, drain_grace=1, cleanup_timeout=60)
    assert full.ended
    assert ends(full.clients)["parting"] == GOOD
    assert {ending for ending in full.endings() if "lingering" in ending} == {"lingering shutdown cancelled 0"}


def test_a_server_that_grants_less_than_the_grace_ends_in_its_own_time() -> None:
    """Uvicorn cancels what is left after `--timeout-graceful-shutdown`: streams that do not resist are done by then."""
    kind = variant(UVICORN, "--timeout-graceful-shutdown", "1")
    full = shut_down(kind, {**STREAMS, "lingering": 2}, terminate, timeout=TIMEOUT, drain_grace=60)
    assert ends(full.clients) == {**WELL, "lingering": {("incomplete", False)}}
    assert (full.ended, full.lifespans_ended) == (True, 1)


@pytest.mark.parametrize("name", KINDS)
def test_clients_that_read_nothing_are_cut_off(name: str) -> None:
    """They have half the grace to take what was written; those that read get their farewell all the same."""
    with serving(name) as server:
        deaf = [server.open(DEAF, TINY_RECEIVE_BUFFER) for _ in range(3)]
        clients = open_streams(server, {"parting": 3})
        assert wait_for(lambda: server.get("/sent") == server.get("/sent"), TIMEOUT, interval=0.3)
        terminate(server)
        read_all(clients, TIMEOUT)
        assert ends(clients) == {"parting": GOOD}
        assert has_ended(server, TIMEOUT)
        read_all({"deaf": deaf}, TIMEOUT)
    assert not ends({"deaf": deaf})["deaf"] & {("complete", True), ("complete", False), (None, False)}


@pytest.mark.parametrize("name", [UVICORN, "uvicorn-httptools-uvloop", "hypercorn", "granian", "gunicorn"])
def test_a_stream_that_begins_when_the_server_is_ending_ends_too(name: str) -> None:
    """Its request was under way at the signal. Also if it is the first one, before which nothing was listened to."""
    with serving(name) as server:
        client = server.open("/stream/parting?after=1")
        assert wait_for(lambda: "asked" in server.stdout(), TIMEOUT)
        terminate(server)
        read_all({"parting": [client]}, TIMEOUT)
        assert ends({"parting": [client]}) == {"parting": GOOD}
        assert has_ended(server, TIMEOUT)


@pytest.mark.parametrize("name", ["uvicorn-httptools-uvloop", "gunicorn"])
def test_a_second_ctrl_c_ends_the_server_at_once(name: str) -> None:
    """The first one leaves it to the streams' grace; the second is the server's own business, as without us."""
    with serving(name) as server:
        streams = open_streams(server, {"lingering": 3, "sleeping": 3}, drain_grace=60)
        press_ctrl_c(server)
        read_all({"sleeping": streams["sleeping"]}, TIMEOUT)
        assert server.process.poll() is None
        press_ctrl_c(server)
        assert has_ended(server, TIMEOUT)
        read_all(streams, TIMEOUT)


@pytest.mark.parametrize("name", ["hypercorn", "granian", "daphne"])
def test_a_second_sigint_does_no_harm(name: str) -> None:
    """These servers wait for a cleanup whatever comes, as without us: they end with the grace."""
    with serving(name) as server:
        streams = open_streams(server, {"lingering": 3, "sleeping": 3}, drain_grace=2)
        # To the main process alone: a worker of granian that has had two never ends, with streams or without.
        server.process.send_signal(signal.SIGINT)
        read_all({"sleeping": streams["sleeping"]}, TIMEOUT)
        server.process.send_signal(signal.SIGINT)
        assert has_ended(server, TIMEOUT)
        read_all(streams, TIMEOUT)
    assert ends(streams)["sleeping"] == GOOD


class Listener(Http2Client):
    """A client that hears its streams out after GOAWAY (RFC 9113, 6.8), after which h2 takes nothing more."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._rest = b""
        super().__init__(address)

    def _read(self) -> None:
        with suppress(TimeoutError):
            self._rest += self._sock.recv(READ_BYTES)
            for event in self._http.receive_data(self._frames()):
                self._take(event)
            self._flush()

    def _frames(self) -> bytes:
        """Take the frames that have arrived whole, and drop those that say goodbye."""
        frames = bytearray()
        while len(self._rest) >= (size := 9 + int.from_bytes(self._rest[:3], "big")):
            frame, self._rest = self._rest[:size], self._rest[size:]
            frames += b"" if frame[3] == GOAWAY else frame
        return bytes(frames)


GOAWAY = 7
HTTP2 = ServerKind("uvicorn-zttp-http2", (*SERVERS["uvicorn-zttp-asyncio"].command, "--http2"))


@pytest.mark.parametrize("kind", [HTTP2, SERVERS["hypercorn"], SERVERS["granian"]], ids=lambda kind: kind.name)
def test_streams_of_one_connection_drain(kind: ServerKind) -> None:
    """On HTTP/2 each has its farewell and its own orderly end."""
    with serving(kind) as server:
        client = Listener((server.host, server.port))
        numbers = [client.get(f"/stream/{kind}") for kind in ("sleeping", "ticking", "parting", "sync") * 5]
        assert client.read_until(lambda: all(client.bodies[number] for number in numbers))
        terminate(server)
        assert client.read_until(lambda: len(client.ends) == len(numbers), TIMEOUT), client.ends
        client.close()
        assert has_ended(server, TIMEOUT)
    assert set(client.ends.values()) == {"complete"}
    assert all(
        client.bodies[number].endswith(b'event: stream-end\ndata: {"reason":"shutdown"}\n\n') for number in numbers
    )
