"""Sockets of this process, found by their addresses."""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from unbroken.servers import connection_of, detect_dead_peers, forget_dead_peers, is_open, listeners, tcp
from unbroken.servers.tcp import TcpConnection, is_established

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="finds sockets through /proc")


@pytest.fixture
def listening(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """Give a listening socket, look for sockets as often as asked, and undo what a test had set."""
    monkeypatch.setattr(tcp, "RESCAN_INTERVAL", 0.0)
    with closing(socket.create_server(("127.0.0.1", 0))) as sock:
        yield sock
        forget_dead_peers()


@contextmanager
def connected(listening: socket.socket) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Give both ends of a connection to it: the client's, the server's."""
    with (
        closing(socket.create_connection(listening.getsockname())) as client,
        closing(listening.accept()[0]) as accepted,
    ):
        yield client, accepted


def scope_of(accepted: socket.socket, **more: object) -> dict[str, object]:
    """Return the scope a server would give for a connection."""
    return {"server": accepted.getsockname(), "client": accepted.getpeername(), "http_version": "1.1", **more}


def detect(scope: dict[str, object], timeout: float) -> bool:
    """Ask for it as a response does, on an event loop."""

    async def main() -> bool:
        return detect_dead_peers(scope, timeout)

    return asyncio.run(main())


def options(sock: socket.socket) -> tuple[int, int, int, int, int]:
    """Return what dead-peer detection consists of."""
    return (
        sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE),
        sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE),
        sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL),
        sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT),
        sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT),
    )


def test_both_options_are_set_and_inherited(listening: socket.socket) -> None:
    """The connection that asked, the listening socket, and every connection accepted from then on have both."""
    with connected(listening) as (_, first):
        assert detect(scope_of(first), 12.0)
        with connected(listening) as (_, second):
            for sock in (first, listening, second):
                assert options(sock) == (1, 6, 2, 3, 12_000)


def test_the_smallest_timeout_holds_and_all_is_undone(listening: socket.socket) -> None:
    """A larger one changes nothing, a smaller one wins; forgetting puts the listening socket back."""
    with connected(listening) as (_, accepted):
        scope = scope_of(accepted)
        detect(scope, 12.0)
        detect(scope, 30.0)
        assert options(listening)[4] == 12_000
        detect(scope, 6.0)
        assert options(listening)[4] == 6_000
        forget_dead_peers()
        assert (options(listening)[0], options(listening)[4]) == (0, 0)


def test_what_the_operator_has_set_is_kept(listening: socket.socket) -> None:
    """A socket with a TCP_USER_TIMEOUT of its own is left alone."""
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 5_000)
    with connected(listening) as (_, accepted):
        detect(scope_of(accepted), 12.0)
        assert options(listening)[4] == 5_000


def test_a_connection_that_waited_to_be_accepted_is_found_by_a_second_look(
    listening: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It inherits nothing, since it was there before; after a restart every client is one of these."""
    monkeypatch.setattr(tcp, "SECOND_LOOK", 0.05)

    async def main() -> None:
        with connected(listening) as (_, first), closing(socket.create_connection(listening.getsockname())):
            detect_dead_peers(scope_of(first), 12.0)
            with closing(listening.accept()[0]) as waiting:
                assert options(waiting)[4] == 0
                async with asyncio.timeout(5):
                    while options(waiting) != (1, 6, 2, 3, 12_000):
                        await asyncio.sleep(0.01)

    asyncio.run(main())


def test_ports_may_be_text(listening: socket.socket) -> None:
    """As granian gives them: the connection is found all the same."""
    with connected(listening) as (client, accepted):
        host, port = accepted.getsockname()
        connection = TcpConnection({"server": (host, str(port)), "client": ("127.0.0.1", str(client.getsockname()[1]))})
        assert connection.is_alive()
        client.close()
        assert not connection.is_alive()
        assert detect({"server": (host, str(port))}, 12.0)


@pytest.mark.parametrize("server", [None, ("/run/app.sock", None)])
def test_a_server_that_is_not_on_tcp_is_left_alone(server: object) -> None:
    """A Unix socket has no peers that vanish."""
    assert not detect({"server": server}, 12.0)


@pytest.mark.parametrize("leave", ["fin", "rst", "own close"])
def test_a_connection_is_alive_until_either_side_closes(listening: socket.socket, leave: str) -> None:
    """FIN, RST and the server's own close are all seen at the socket, without reading from it."""
    with connected(listening) as (client, accepted):
        connection = TcpConnection(scope_of(accepted))
        assert connection.is_alive()
        if leave == "rst":
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        (accepted if leave == "own close" else client).close()
        assert not connection.is_alive()


def test_a_descriptor_that_is_used_again_is_not_taken_for_the_connection(listening: socket.socket) -> None:
    """A later socket with the same number is another socket."""
    with connected(listening) as (_, accepted):
        connection = TcpConnection(scope_of(accepted))
        assert connection.is_alive()
        number = accepted.fileno()
        accepted.close()
        with connected(listening) as (client, other):
            assert number in (client.fileno(), other.fileno())
            assert not connection.is_alive()
            connection.abort()
            assert is_established(other.fileno())


def test_abort_resets_a_connection_whose_client_reads_nothing(listening: socket.socket) -> None:
    """What is unsent is dropped: the client sees a reset once the server closes the socket."""
    with connected(listening) as (client, accepted):
        accepted.setblocking(False)
        with pytest.raises(BlockingIOError):
            while True:
                accepted.send(b"x" * 65536)
        TcpConnection(scope_of(accepted)).abort()
        with pytest.raises(BrokenPipeError):
            accepted.send(b"x")
        accepted.close()
        client.settimeout(5)
        with pytest.raises(ConnectionResetError):
            while client.recv(65536):
                pass


def test_a_connection_that_cannot_be_found_is_taken_for_alive(listening: socket.socket) -> None:
    """A rewritten client address (proxy headers) leads nowhere; nothing is done to anybody."""
    with connected(listening) as (_, accepted):
        for scope in (
            scope_of(accepted, client=("203.0.113.9", 0)),
            scope_of(accepted, client=None),
            scope_of(accepted, http_version="2"),
        ):
            connection = connection_of(scope, None)
            assert connection.is_alive()
            connection.abort()
        assert is_established(accepted.fileno())


def descriptors(server: object) -> list[int]:
    """Return the descriptors of the sockets that listen there."""
    return [descriptor for descriptor, _ in listeners(server)]


def test_listening_sockets_are_found_by_their_port(listening: socket.socket) -> None:
    """Whatever the host is called, and also where the port is text; accepted sockets of the port do not listen."""
    port = listening.getsockname()[1]
    with connected(listening):
        for server in (("127.0.0.1", port), ("example.org", port), ["::", str(port)]):
            assert descriptors(server) == [listening.fileno()]


def test_all_sockets_of_a_port_are_found(listening: socket.socket) -> None:
    """A server may listen at several addresses, or with several sockets at one."""
    port = listening.getsockname()[1]
    with closing(socket.create_server(("127.0.0.2", port))) as other:
        assert descriptors(("127.0.0.1", port)) == sorted([listening.fileno(), other.fileno()])


@pytest.mark.usefixtures("listening")
def test_listening_unix_sockets_are_found_by_their_path(tmp_path: Path) -> None:
    """By nothing at all where the server does not say where it is, as hypercorn then; sockets on TCP are left out."""
    path = str(tmp_path / "server.sock")
    with closing(socket.socket(socket.AF_UNIX)) as sock:
        sock.bind(path)
        assert descriptors((path, None)) == []
        sock.listen()
        assert descriptors((path, None)) == descriptors(None) == [sock.fileno()]
        assert descriptors((str(tmp_path / "other.sock"), None)) == []


def test_a_place_where_nobody_of_this_process_listens_has_no_sockets(listening: socket.socket) -> None:
    """A proxy's address leads nowhere."""
    port = listening.getsockname()[1]
    listening.close()
    assert descriptors(("127.0.0.1", port)) == []


def test_connections_tell_that_somebody_has_listened(listening: socket.socket) -> None:
    """A first stream may begin when its server has stopped to listen; then what is found is closed."""
    port = listening.getsockname()[1]
    with connected(listening):
        listening.close()
        assert [is_open(found) for found in listeners(("127.0.0.1", port))] == [False]
        assert [is_open(found) for found in listeners(("127.0.0.1", str(port)))] == [False]
    assert listeners(("127.0.0.1", port)) == []


def test_a_listening_socket_is_open_until_it_is_closed(listening: socket.socket) -> None:
    """The next socket with the same descriptor is another one."""
    (found,) = listeners(listening.getsockname())
    assert is_open(found)
    listening.close()
    assert not is_open(found)
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        assert other.fileno() == found[0]
        assert not is_open(found)


def test_a_duplicate_keeps_a_listening_socket_open(listening: socket.socket) -> None:
    """The kernel goes on taking connections: as far as one can see, the server still listens."""
    with closing(listening.dup()) as duplicate:
        found = listeners(listening.getsockname())
        assert [descriptor for descriptor, _ in found] == sorted([listening.fileno(), duplicate.fileno()])
        listening.close()
        assert [is_open(one) for one in found].count(True) == 1
