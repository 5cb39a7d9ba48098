"""What the log needs of an engine that lets not everybody in: its commands, its keys, its channels, TLS."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.diagnose.endpoint.proxies import certificate
from tests.engines.valkey import Valkey
from tests.logs.redis.running import opened, refusal, with_settings
from unbroken.logs import Log, Retention
from unbroken.testing.logs import Recorder
from unbroken.testing.logs.handles import drafts, everything

COMMANDS = (
    "+eval +evalsha +hget +hmget +hset +hdel +hexists +hlen +xadd +xrange +xlen +xtrim +sadd +srem +smembers "
    "+zadd +zrem +zrangebyscore +unlink +time +publish +subscribe +unsubscribe +ping +select +role +info +wait"
)
"""As the page on Redis in the documentation has them."""


async def _everything(log: Log, listener: Recorder) -> None:
    await log.watch("t")
    await log.append("t", drafts(b"1", b"2"), key="k", fence=1)
    assert await log.trim("t", Retention(max_events=1)) == 1
    await log.unwatch("t")
    assert (len(await everything(log, "t")), await log.topics()) == (1, ["t"])
    await listener.until(lambda: len(listener.entries("t")) == 2, "both events")


def test_these_commands_keys_and_channels_are_enough(valkey: Valkey, prefix: str) -> None:
    """A user who may do no more than the documentation says has a log that works."""
    user = ("app", "reset", "on", ">secret", f"~{prefix}:*", f"&{prefix}:*", *COMMANDS.split())
    assert valkey.ask("ACL", "SETUSER", *user) == "+OK"

    async def scenario() -> None:
        async with opened(with_settings(valkey.url.replace("//", "//app:secret@"), prefix)) as (log, listener):
            await _everything(log, listener)
            assert await log.trim("t", Retention(max_age=0.001, key_age=0.001, forget_after=0.001)) == 1

    asyncio.run(scenario())


def test_what_is_not_permitted_is_said(valkey: Valkey, prefix: str) -> None:
    """Without the right to subscribe, watching says so; a wrong password is said at the start, and not shown."""
    user = ("reader", "reset", "on", ">secret", f"~{prefix}:*", *COMMANDS.replace("+subscribe", "-subscribe").split())
    assert valkey.ask("ACL", "SETUSER", *user) == "+OK"

    async def scenario() -> None:
        url = with_settings(valkey.url.replace("//", "//reader:secret@"), prefix, timeout=0.5)
        async with opened(url) as (log, listener):
            assert "subscribe" in await refusal(log.watch("t"))
            assert "ACL" in str(listener.troubles[0])
        text = await refusal(opened(url.replace("secret", "mistaken")).__aenter__())
        assert "another user or password" in text
        assert "mistaken" not in text

    asyncio.run(scenario())


def test_a_channel_that_is_not_permitted_is_asked_for_less_and_less(valkey: Valkey, prefix: str) -> None:
    """Connecting works and subscribing does not: it is tried again with the growing delay of any other failure."""
    user = ("app", "reset", "on", ">secret", f"~{prefix}:*", f"&{prefix}:*:ok", *COMMANDS.split())
    assert valkey.ask("ACL", "SETUSER", *user) == "+OK"

    async def scenario() -> None:
        url = with_settings(valkey.url.replace("//", "//app:secret@"), prefix, timeout=0.6)
        async with opened(url) as (log, listener):
            await log.watch("ok")
            await refusal(log.watch("t"))
            assert 0 < len(listener.troubles) < 6

    asyncio.run(scenario())


def test_a_secure_server_is_spoken_to(valkey: Valkey, tmp_path: Path, prefix: str) -> None:
    """`rediss://` speaks TLS, and refuses a server whose certificate nobody vouches for."""
    made = certificate(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(made.chain, made.key)

    async def scenario() -> None:
        # The server of the wheel has no TLS of its own.
        async with await asyncio.start_server(_relay_to(valkey.port), "127.0.0.1", 0, ssl=context) as server:
            bare = f"rediss://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
            async with opened(with_settings(bare, prefix, ssl_ca_certs=made.chain)) as (log, listener):
                await _everything(log, listener)
            text = await refusal(opened(with_settings(bare, prefix)).__aenter__())
            assert "certificate" in text.lower()

    asyncio.run(scenario())


def _relay_to(port: int) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        to_reader, to_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(_pump(reader, to_writer), _pump(to_reader, writer))

    return relay


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()
