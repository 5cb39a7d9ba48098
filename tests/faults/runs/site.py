"""Several servers with one log, and the command that runs one of them.

python -m tests.faults.runs.site --host 127.0.0.1 --port 8000 --settings '{"url": …}'
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

import uvicorn

import unbroken.hub.retention
import unbroken.hub.topics
from tests.faults.servers import Server, ServerKind

from .app import Settings, make_app
from .mutations import MUTATIONS

__all__ = ["kind", "main", "start"]


def kind(settings: Settings) -> ServerKind:
    """Return the server that this module runs."""
    said = json.dumps(asdict(settings))
    return ServerKind("runs", ("tests.faults.runs.site", "--host", "{host}", "--port", "{port}", "--settings", said))


def start(settings: Settings) -> Server:
    """Start a server, and return it once it answers."""
    return Server.start(kind(settings), "")


def main() -> None:
    """Run one server."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--settings", type=json.loads, required=True)
    chosen = parser.parse_args()
    settings = Settings(**chosen.settings)
    if settings.mutation is not None:
        MUTATIONS[settings.mutation]()
    if settings.rounds is not None:
        unbroken.hub.retention.ROUND_INTERVAL = unbroken.hub.topics.LINGER = settings.rounds
    uvicorn.run(
        make_app(settings), host=chosen.host, port=chosen.port, log_level="warning", timeout_graceful_shutdown=5
    )


if __name__ == "__main__":
    main()
