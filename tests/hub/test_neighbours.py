"""Several workers, each with a memory of its own."""

from __future__ import annotations

import logging
import socket
import subprocess
import sys
import textwrap

import pytest

from unbroken.hub.neighbours import Neighbours

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="claims are sockets in Linux's abstract namespace")

LOOK = textwrap.dedent("""
    import logging, socket, sys
    from unbroken.hub.neighbours import Neighbours
    logging.basicConfig(level=logging.ERROR, stream=sys.stdout)
    with socket.create_server(("127.0.0.1", int(sys.argv[1])), reuse_port=True):
        Neighbours().look(("127.0.0.1", int(sys.argv[1])))
    print("looked", flush=True)
    sys.stdin.read()
""")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def test_a_second_process_at_the_same_place_says_so() -> None:
    """The first says nothing; the second names the place and what to do; after the first has ended nobody does."""
    port = str(_free_port())
    command = [sys.executable, "-c", LOOK, port]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "looked\n"
        second = subprocess.run(command, input="", capture_output=True, text=True, timeout=30, check=True)
        first.communicate("")
    assert f"several processes serve 127.0.0.1:{port}" in second.stdout
    assert "sqlite:///" in second.stdout
    third = subprocess.run(command, input="", capture_output=True, text=True, timeout=30, check=True)
    assert third.stdout == "looked\n"


def test_two_hubs_of_one_process_are_no_neighbours(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is said of another hub in the same process, nor of a place that was looked at before."""
    with caplog.at_level(logging.ERROR), socket.create_server(("127.0.0.1", 0)) as listener:
        server = listener.getsockname()
        one, other = Neighbours(), Neighbours()
        one.look(server)
        other.look(server)
        one.look(server)
    assert not caplog.records


def test_a_place_that_is_not_known_is_passed_over(caplog: pytest.LogCaptureFixture) -> None:
    """A request without a server, as tests make them, is no place."""
    with caplog.at_level(logging.ERROR):
        Neighbours().look(None)
    assert not caplog.records
