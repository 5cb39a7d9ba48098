"""The process that serves the board: started when it is first wanted, and again whenever it has ended."""

from __future__ import annotations

import logging
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["BoardProcess", "board_process"]

END_TIMEOUT = 3.0
RESTART_PAUSE = 1.0
"""Seconds for which there is no server: long enough to be seen, and to spare a machine on which none can start."""

logger = logging.getLogger("unbroken.demo")


class BoardProcess:
    """Owns the listening socket, so that clients find the same port whichever process serves it.

    Made by `board_process`. While no process runs, those who connect wait in the socket's queue.
    """

    def __init__(self, listener: socket.socket) -> None:
        self.port = int(listener.getsockname()[1])
        self.starts = 0
        self._listener = listener
        self._directory: tempfile.TemporaryDirectory[str] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._ends = threading.Event()
        self._starting = threading.Lock()
        self._keeper = threading.Thread(target=self._keep, name="the board's keeper", daemon=True)

    @property
    def pid(self) -> int | None:
        """The process that serves, None while there is none."""
        process = self._process
        return None if process is None or process.poll() is not None else process.pid

    def start(self) -> None:
        """See to it that there is a server; from the second call on, it is."""
        if self._process is None:
            self._directory = tempfile.TemporaryDirectory(prefix="unbroken-demo-")
            self._run()
            self._keeper.start()

    def kill(self) -> None:
        """Kill the server as the kernel would for want of memory: it learns nothing of it."""
        process = self._process
        if process is not None:
            process.kill()

    def close(self) -> None:
        """End the server, in good order if it does so in three seconds, start no other, and remove the database."""
        with self._starting:
            self._ends.set()
        if self._process is None or self._directory is None:
            return
        self._process.terminate()
        try:
            self._process.wait(END_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._keeper.join()
        self._directory.cleanup()

    def _run(self) -> bool:
        with self._starting:
            if self._ends.is_set():
                return False
            self._process = self._spawn()
            self.starts += 1
            return True

    def _spawn(self) -> subprocess.Popen[bytes]:
        assert self._directory is not None
        fd = self._listener.fileno()
        return subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, "-m", "unbroken.cli.demo.board", str(fd), self._directory.name],
            pass_fds=[fd],
            stdin=subprocess.PIPE,  # nobody writes to it: its end tells the process that we are gone, however we went
            start_new_session=True,  # Ctrl-C is for the demo, which then ends this
        )

    def _keep(self) -> None:
        while self._process is not None:
            code = self._process.wait()
            assert self._process.stdin is not None
            self._process.stdin.close()
            if self._ends.is_set():
                return
            logger.info("the board's server %d ended with %d: another follows", self._process.pid, code)
            if self._ends.wait(RESTART_PAUSE) or not self._run():
                return


@contextmanager
def board_process() -> Iterator[BoardProcess]:
    """Give a board with an empty database of its own, which is removed at the end."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        process = BoardProcess(listener)
        try:
            yield process
        finally:
            process.close()
