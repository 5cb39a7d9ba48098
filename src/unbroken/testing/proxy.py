"""A hop on loopback between a real client and a real server, which fails as hops do."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, Self

from anyio.from_thread import BlockingPortal, start_blocking_portal

from unbroken.testing.faults import Fault, Faults
from unbroken.testing.relay import ConnectionEnd, ProxiedConnection, readable
from unbroken.testing.waiting import Changes, DeadlineError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

__all__ = ["FaultProxy", "ThreadedFaultProxy", "running_proxy"]

HOST: Final = "127.0.0.1"
TIMEOUT: Final = 5.0
BACKLOG: Final = 1024


class FaultProxy:
    """A TCP hop that relays faithfully until a fault is planned or struck: a FIN as a FIN, a reset as a reset.

    An asynchronous context manager: it listens on a free port of 127.0.0.1 from entering to
    leaving, and everything it opened is closed afterwards. `running_proxy` is the same for
    synchronous tests. It belongs to the event loop in which it was entered.

    Example:
        plan = Faults(fault=Fault.RST, after_events=3)
        async with FaultProxy("127.0.0.1", server_port, faults=plan) as proxy:
            ...  # a client of proxy.port gets three events and a reset

    Args:
        host: The IPv4 address or name of the server.
        port: The server's port.
        faults: The plan for every connection, or one for each: the first connection gets the
            first of them, and those beyond the last are relayed faithfully.
        receive_buffer_bytes: The kernel's receive buffer on both sides. None leaves it to the
            kernel, which takes in megabytes before a sender notices a frozen hop; a
            few thousand let it notice soon.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        faults: Faults | Sequence[Faults] = (),
        receive_buffer_bytes: int | None = None,
    ) -> None:
        self.faults = faults
        """The plan for connections yet to come; may be replaced at any time."""
        self.connections: list[ProxiedConnection] = []
        """Every connection so far, in the order they came, those that have ended too."""
        self._target = (host, port)
        self._receive_buffer_bytes = receive_buffer_bytes
        self._changes = Changes()
        self._listener: socket.socket | None = None
        self._serving: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        """The port to connect to instead of the server's.

        Raises:
            RuntimeError: The proxy is not entered.
        """
        if self._listener is None:
            raise RuntimeError("the proxy has a port only inside its 'async with'")
        return int(self._listener.getsockname()[1])

    async def __aenter__(self) -> Self:
        self._listener = socket.create_server((HOST, 0), backlog=BACKLOG)
        self._set_up(self._listener)
        self._serving = asyncio.create_task(self._serve(self._listener), name=f"FaultProxy :{self.port}")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._listener is not None
        assert self._serving is not None
        self._serving.cancel()
        try:
            await asyncio.wait([self._serving])
        finally:
            self._listener.close()
            self._listener = None
        if not self._serving.cancelled():
            self._serving.result()  # raises what broke inside the proxy itself

    def strike(self, fault: Fault) -> None:
        """Do this to every connection that is open now; one alone is struck through `connections`."""
        for connection in self._open():
            connection.strike(fault)

    def thaw(self) -> None:
        """Relay on after `Fault.FREEZE`, on every connection."""
        for connection in self._open():
            connection.thaw()

    async def connection(self, number: int, timeout: float = TIMEOUT) -> ProxiedConnection:
        """Return a connection by its number, from 0; wait for it if it has not come yet.

        Raises:
            DeadlineError: It did not come within `timeout` seconds.
        """
        await self.until(lambda: len(self.connections) > number, f"connection {number}", timeout)
        return self.connections[number]

    async def ended(self, number: int, timeout: float = TIMEOUT) -> ConnectionEnd:
        """Wait for the end of a connection, by its number from 0, and return how it ended.

        Raises:
            DeadlineError: It did not end within `timeout` seconds.
        """
        connection = await self.connection(number, timeout)
        await self.until(lambda: connection.ended is not None, f"the end of connection {number}", timeout)
        assert connection.ended is not None
        return connection.ended

    async def until(self, condition: Callable[[], bool], what: str = "a condition", timeout: float = TIMEOUT) -> None:
        """Wait until `condition()` holds; it is asked again whenever something passed or ended.

        Raises:
            DeadlineError: It did not hold within `timeout` seconds; the text calls it `what`.
        """
        if not await self._changes.until_deadline(condition, timeout):
            raise DeadlineError(f"{what} did not come within {timeout:g} s; the connections: {self.connections}")

    def _open(self) -> list[ProxiedConnection]:
        return [connection for connection in self.connections if connection.ended is None]

    async def _serve(self, listener: socket.socket) -> None:
        async with asyncio.TaskGroup() as group:
            while True:
                await readable(listener)
                # The client may be gone again, and then there is nobody to accept.
                with contextlib.suppress(BlockingIOError, ConnectionError):
                    group.create_task(self._accept(listener).run(self._target))

    def _accept(self, listener: socket.socket) -> ProxiedConnection:
        plan = self._next_plan()
        client, _ = listener.accept()
        server = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        for end in (client, server):
            self._set_up(end)
            # Pieces leave as they are cut, and not when the kernel finds that they are worth a packet.
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = ProxiedConnection(client, server, plan, self._changes)
        self.connections.append(connection)
        self._changes.notify()
        return connection

    def _next_plan(self) -> Faults:
        if isinstance(self.faults, Faults):
            return self.faults
        number = len(self.connections)
        return self.faults[number] if number < len(self.faults) else Faults()

    def _set_up(self, end: socket.socket) -> None:
        end.setblocking(False)
        # Before it connects, or else it comes too late for the window that TCP agrees on; what is
        # accepted inherits it from the listener.
        if self._receive_buffer_bytes is not None:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._receive_buffer_bytes)


class ThreadedFaultProxy:
    """A `FaultProxy` in a thread of its own, for tests that are synchronous; made by `running_proxy`."""

    def __init__(self, proxy: FaultProxy, portal: BlockingPortal) -> None:
        self._proxy = proxy
        self._portal = portal
        self.port: Final = proxy.port
        """The port to connect to instead of the server's."""

    @property
    def connections(self) -> list[ProxiedConnection]:
        """Every connection so far: to be looked at; strike them through this object."""
        return list(self._proxy.connections)

    def strike(self, fault: Fault, number: int | None = None) -> None:
        """Do this to one connection, by its number from 0, or to all that are open; done when it returns."""
        striker = self._proxy if number is None else self._proxy.connections[number]
        self._portal.call(striker.strike, fault)

    def thaw(self) -> None:
        """Relay on after `Fault.FREEZE`, on every connection."""
        self._portal.call(self._proxy.thaw)

    def plan(self, faults: Faults | Sequence[Faults]) -> None:
        """Replace the plan for connections yet to come."""
        self._proxy.faults = faults

    def ended(self, number: int, timeout: float = TIMEOUT) -> ConnectionEnd:
        """Wait for the end of a connection, by its number from 0, and return how it ended.

        Raises:
            DeadlineError: It did not end within `timeout` seconds.
        """
        return self._portal.call(self._proxy.ended, number, timeout)

    def until(self, condition: Callable[[], bool], what: str = "a condition", timeout: float = TIMEOUT) -> None:
        """Wait until `condition()` holds; it is called in the proxy's thread, whenever something passed or ended.

        Raises:
            DeadlineError: It did not hold within `timeout` seconds; the text calls it `what`.
        """
        self._portal.call(self._proxy.until, condition, what, timeout)


@contextlib.contextmanager
def running_proxy(host: str, port: int, **options: Any) -> Iterator[ThreadedFaultProxy]:
    """Run a `FaultProxy` in a thread of its own until the context is left; `options` are those of `FaultProxy`."""
    with start_blocking_portal("asyncio") as portal:
        proxy = FaultProxy(host, port, **options)
        with portal.wrap_async_context_manager(proxy):
            yield ThreadedFaultProxy(proxy, portal)
