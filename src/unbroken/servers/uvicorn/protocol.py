"""uvicorn's protocol class for HTTP/1.1 with the one thing more that its requests can be answered directly.

Built on what uvicorn keeps to itself, seen in 0.30 to 0.54; from 0.36 on `--http` takes a name. What it needs of
that is looked for when the class is made, so that a version which lacks it fails at its start.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Any, cast

import uvicorn
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from unbroken.errors import ConfigurationError
from unbroken.servers.direct import DIRECT
from unbroken.servers.uvicorn.attached import DirectProtocol

__all__ = ["EventStreamProtocol"]

NEEDED = MappingProxyType(
    {
        HttpToolsProtocol: (
            "config", "connection_lost", "cycle", "flow", "on_message_begin", "on_response_complete", "parser",
            "pause_writing", "resume_writing", "scope", "server_state", "transport",
        ),
        RequestResponseCycle: (
            "chunked_encoding", "disconnected", "message_event", "more_body", "response_complete",
        ),
        FlowControl: ("resume_reading", "resume_writing", "write_paused"),
    }
)  # fmt: skip


def check_uvicorn(cls: type, names: tuple[str, ...]) -> None:
    """See that a class of uvicorn's has the methods, and that its instances get the attributes, called `names`."""
    # Attributes are there in an instance only; but what its __init__ sets, its code names.
    code = getattr(cls.__init__, "__code__", None)  # type: ignore[misc]
    known = {*dir(cls), *(() if code is None else code.co_names)}
    missing = [name for name in names if name not in known]
    if missing:
        raise ConfigurationError(
            f"uvicorn {uvicorn.__version__} has no {', '.join(missing)} in its {cls.__name__}, which "
            "EventStreamProtocol builds on: use a uvicorn that unbroken was tested with, or leave --http away"
        )


for _cls, _names in NEEDED.items():
    check_uvicorn(_cls, _names)


class EventStreamProtocol(HttpToolsProtocol):
    """uvicorn's own protocol for HTTP/1.1 with httptools, which also offers each request a `DirectConnection`.

        uvicorn app:app --http unbroken.servers.uvicorn:EventStreamProtocol

    A request finds it in its scope, as `scope["extensions"]["unbroken.direct"]`. All else is as uvicorn has it.
    """

    direct: DirectProtocol | None = None
    """What the newest request was offered."""

    def on_message_begin(self) -> None:
        """Begin a scope, with the extension in it."""
        super().on_message_begin()
        self.direct = DirectProtocol(self)
        cast("dict[str, Any]", self.scope).setdefault("extensions", {})[DIRECT] = self.direct

    def allows(self, direct: DirectProtocol) -> bool:
        """Whether the response under way is one in chunks, to the newest request, which asks for nothing more."""
        # The newest: behind any other one a pipelined request waits for its answer.
        if self.direct is not direct or self.transport.is_closing() or self.parser.should_upgrade():
            return False
        # HTTP/1.0 gets chunks from uvicorn, which it does not understand.
        return self.scope["http_version"] == "1.1" and self.scope["method"] != "HEAD" and _is_in_chunks(self.cycle)

    def leave(self) -> None:
        """Let go of the connection and of the request, which takes it for its client's leaving."""
        # With an exception: without one the transport would be closed.
        self.connection_lost(ConnectionResetError("the response goes on without its request"))

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of everything."""
        super().connection_lost(exc)
        direct, self.direct = self.direct, None
        if direct is not None:
            direct.forget()  # or a cycle, by way of the scope, would be left of every connection

    def on_response_complete(self) -> None:
        """Go on to the next request; or close, where its bytes were thrown away."""
        if self.direct is not None and self.direct.is_attached:
            self.direct.complete()
        else:
            super().on_response_complete()


def _is_in_chunks(cycle: RequestResponseCycle) -> bool:
    if cycle.disconnected or cycle.more_body:
        return False
    # None until the response has started.
    return not cycle.response_complete and bool(cycle.chunked_encoding)
