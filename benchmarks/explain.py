"""How fast `explain` reads a log, and how much memory that takes: `python -m benchmarks --only explain`."""

from __future__ import annotations

import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from unbroken.diagnose.logs import explain

MEGABYTE = 1_000_000
SEED = 4
MIXED = "access log with streams and tracebacks"
_LIBRARIES = "/usr/lib/python3.11/site-packages"


def report(megabytes: int) -> str:
    """Measure a log of each kind, each in a process of its own, since the peak of memory never falls.

    The first is the one that counts, and has the whole size; the others show what lines cost, at a tenth of it.
    """
    head = [
        "### explain: logs, read from a file",
        "",
        "| log | MB | MB per second of CPU | peak RSS, MiB | found |",
        "|---|---:|---:|---:|---:|",
    ]
    return "\n".join(
        [*head, *(_row(kind, megabytes if kind == MIXED else max(1, megabytes // 10)) for kind in _KINDS), ""]
    )


def _row(kind: str, megabytes: int) -> str:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "log")
        _write(path, kind, megabytes * MEGABYTE)
        command = [sys.executable, "-m", "benchmarks.explain", str(path)]
        ran = subprocess.run(command, check=True, capture_output=True, text=True)
    rate, peak, found = ran.stdout.split()
    return f"| {kind} | {megabytes} | {float(rate):.0f} | {float(peak):.0f} | {found} |"


def _measure(path: str) -> str:
    started = time.process_time()
    explanation = explain([path])
    seconds = time.process_time() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    found = sum(finding.count for finding in explanation.findings)
    return f"{explanation.bytes_read / MEGABYTE / seconds} {peak} {found}"


def _write(path: Path, kind: str, size: int) -> None:
    """Write a log of that kind. A part of it is made, and repeated: what is read does not know."""
    parts = [_part(random.Random(seed), kind) for seed in range(SEED, SEED + 4)]
    with path.open("wb") as file:
        while file.tell() < size:
            for part in parts:
                file.write(part)
        file.truncate(size)


def _part(chance: random.Random, kind: str) -> bytes:
    return "".join(_KINDS[kind](chance)).encode()


def _access(chance: random.Random) -> Iterator[str]:
    for _ in range(20_000):
        yield _request(chance, f"/api/v1/items/{chance.randrange(10**5)}")


def _mixed(chance: random.Random) -> Iterator[str]:
    """Every hundredth request is for a stream, every two-thousandth fails."""
    for number in range(20_000):
        path = "/rooms/17/events" if number % 100 == 0 else f"/api/v1/items/{chance.randrange(10**5)}"
        yield _request(chance, path)
        if number % 2000 == 1999:
            yield _traceback()


def _warnings(_: random.Random) -> Iterator[str]:
    yield from ["socket.send() raised exception.\n"] * 50_000


def _tracebacks(_: random.Random) -> Iterator[str]:
    yield from [_traceback()] * 300


_KINDS = {
    MIXED: _mixed,
    "access log": _access,
    "asyncio's warnings": _warnings,
    "nothing but tracebacks": _tracebacks,
}


def _request(chance: random.Random, path: str) -> str:
    return (
        f"192.0.2.{chance.randrange(256)} - - [22/Nov/2026:23:{chance.randrange(60):02d}:25 +0000] "
        f'"GET {path} HTTP/1.1" 200 {chance.randrange(10**4)} "https://example.com/" '
        f'"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36" {chance.random():.3f}\n'
    )


def _traceback() -> str:
    frames = [("uvicorn/protocols/http/h11_impl.py", "run_asgi"), *[("starlette/routing.py", "app")] * 20]
    lines = [
        f'  File "{_LIBRARIES}/{file}", line 74, in {name}\n    await self.app(scope, receive, send)\n'
        for file, name in [*frames, ("starlette/responses.py", "stream_response")]
    ]
    own = '  File "/app/main.py", line 32, in events\n    raise ValueError("x")\n'
    head = "ERROR:    Exception in ASGI application\nTraceback (most recent call last):\n"
    return f"{head}{''.join(lines)}{own}ValueError: x\n"


if __name__ == "__main__":
    print(_measure(sys.argv[1]))
