"""The command `unbroken`: what it says, and how it ends."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from importlib.metadata import version

import pytest

from tests.cli.demo_process import DEMO, running_demo
from tests.cli.demo_reader import Visitor

FREEZE_BYTES = 100_000


def run(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def test_version() -> None:
    """`--version` says the installed version, and nothing else."""
    done = run(sys.executable, "-m", "unbroken", "--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"unbroken {version('unbroken')}\n", "")


@pytest.mark.parametrize("library", ["typer", "rich", "uvicorn"])
def test_missing_library(library: str) -> None:
    """A library that is not installed is named in one line, with what to type, and exit code 2."""
    code = (
        f"import sys; sys.modules[{library!r}] = None; sys.argv = ['unbroken', 'demo', '--port', '0']\n"
        "from unbroken.cli import main; main()"
    )
    done = run(sys.executable, "-c", code)
    assert done.returncode == 2
    assert done.stderr.splitlines() == [f"{library} is not installed, and this needs it: pip install 'unbroken[demo]'"]


def test_a_command_needs_no_other_ones_libraries() -> None:
    """Each loads what it needs when it runs: the help is there without any of them."""
    code = (
        "import sys; sys.argv = ['unbroken', 'explain', '--list']\n"
        "from unbroken.cli import main\n"
        "try: main()\nfinally: sys.stderr.write(repr(sorted({'libcst', 'h11', 'h2', 'uvicorn'} & set(sys.modules))))"
    )
    done = run(sys.executable, "-c", code)
    assert (done.returncode, done.stderr) == (0, "[]")


@pytest.mark.parametrize(
    ("library", "arguments"),
    [
        ("libcst", ["check", "."]),
        ("libcst", ["fix", "--diff", "."]),
        ("h11", ["doctor", "http://127.0.0.1:1/"]),
        ("h2", ["doctor", "http://127.0.0.1:1/"]),
    ],
)
def test_missing_library_of_the_diagnosis(library: str, arguments: list[str]) -> None:
    """The same, with the extra that is enough for it."""
    code = (
        f"import sys; sys.modules[{library!r}] = None; sys.argv = ['unbroken', *{arguments!r}]\n"
        "from unbroken.cli import main; main()"
    )
    done = run(sys.executable, "-c", code)
    assert done.returncode == 2
    assert done.stderr.splitlines() == [f"{library} is not installed, and this needs it: pip install 'unbroken[cli]'"]


def test_another_import_error_is_not_hidden() -> None:
    """Only our own optional libraries are excused: any other failed import is a bug, and shows as one."""
    code = "import sys; sys.modules['starlette.staticfiles'] = None; sys.argv = ['unbroken', 'demo', '--port', '0']\n"
    done = run(sys.executable, "-c", code + "from unbroken.cli import main; main()")
    assert done.returncode == 1
    assert "ModuleNotFoundError" in done.stderr


def test_taken_port() -> None:
    """Where the port is taken, the next free one is used, and both are said."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with running_demo(*DEMO, "--port", str(port)) as demo:
            assert demo.port > port
            assert f"Port {port} is taken: this is on {demo.port}." in demo.said


def test_impossible_host() -> None:
    """An address that is not this machine's is refused in one line, with exit code 1."""
    done = run(*DEMO, "--host", "192.0.2.1", "--port", "0")
    assert done.returncode == 1
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert "cannot listen on 192.0.2.1 port 0" in done.stderr


@pytest.mark.parametrize("through", ["unbroken", "starlette"])
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_signal_with_open_streams(stop: signal.Signals, through: str) -> None:
    """Ctrl-C and SIGTERM end the demo without a traceback, though streams are open and one of them takes nothing."""
    with running_demo() as demo, Visitor(demo.port) as visitor:
        stuck, number = visitor.listen(through)
        visitor.do("freeze")
        visitor.row(number, lambda row: row["bytes"] > FREEZE_BYTES)
        reading, _ = visitor.listen(through)
        assert demo.stop(stop) == 0
        assert "Traceback" not in demo.said
        assert demo.said.endswith("Goodbye.\n")
        stuck.close()
        reading.close()
