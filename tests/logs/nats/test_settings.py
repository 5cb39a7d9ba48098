"""How the log in NATS is named and set up, and what it does not take."""

from __future__ import annotations

import asyncio
import multiprocessing
import multiprocessing.connection
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.engines.nats import Nats
from tests.logs.nats.running import Stream, ask, opened, refusal
from unbroken import Hub
from unbroken.errors import ConfigurationError, LogUnavailable
from unbroken.logs import Log, open_log
from unbroken.logs.nats import NATSLog
from unbroken.testing.logs import Recorder
from unbroken.testing.logs.handles import drafts, everything


class TestURL:
    @pytest.mark.parametrize(
        ("url", "said"),
        [
            ("nats://", "names no server"),
            ("nats://host:4222/stream", "names no server"),
            ("nats://host:no", "'host:no' is no server"),
            ("nats://host?replica=3", "no setting replica"),
            ("nats://host?replicas=many", "replicas=many is no number"),
            ("nats://host?replicas=6", "1 to 5"),
            ("nats://host?storage=disk", "neither file nor memory"),
            ("nats://host?timeout=0", "timeout=0.0 is no time"),
            ("nats://host?heartbeat_timeout=nan", "heartbeat_timeout=nan is no time"),
            ("nats://host?stream=a.b", "names no stream"),
            ("nats://host?prefix=a..b", "begins no subject"),
            ("nats://host?creds=none.creds", "is no file"),
        ],
    )
    def test_what_cannot_be_read_is_refused(self, url: str, said: str) -> None:
        """The error names the setting, its value, and what is allowed."""
        with pytest.raises(ConfigurationError, match=said):
            open_log(url)

    def test_no_password_is_shown(self) -> None:
        """Whatever is wrong with a URL, its password is not in the text."""
        for rest in ("host:no", "host?replicas=9", "host?nothing=1", "host/path"):
            with pytest.raises(ConfigurationError) as refused:
                open_log(f"nats://somebody:secret-word@{rest}")
            assert "secret-word" not in str(refused.value)

    @pytest.mark.parametrize(
        "rest",
        ["hid/den@host", "hid#den@host", "hid?den@host", "hid[den@host", "1?den@host", "1?replicas=den@host"],
    )
    def test_no_part_of_a_password_is_shown(self, rest: str) -> None:
        """A password that is not percent-encoded may be read as a port or a setting: none of these is shown."""
        with pytest.raises(ConfigurationError) as refused:
            open_log(f"nats://someone:{rest}")
        assert not [part for part in ("hid", "den", "someone") if part in str(refused.value)]

    def test_settings_are_those_of_the_constructor(self, server: Nats, stream: Stream) -> None:
        """A log that was made with keywords is the one that its URL names."""

        async def scenario() -> None:
            log = NATSLog(server.url, stream=stream.name, prefix=stream.prefix)
            await log.start(Recorder())
            await log.append("t", drafts(b"1"))
            await log.stop()
            async with opened(stream.at(server.url)) as (other, _):
                assert [entry.payload for entry in await everything(other, "t")] == [b"1"]

        asyncio.run(scenario())

    def test_one_server_of_several_is_enough(self, server: Nats, own: Nats, stream: Stream) -> None:
        """Of the servers in the URL those that are away are passed over."""

        async def scenario() -> None:
            for pair in (f"{dead},{server.port}", f"{server.port},{dead}"):
                first, second = pair.split(",")
                async with opened(stream.at(f"nats://127.0.0.1:{first},127.0.0.1:{second}")) as (log, _):
                    await log.append("t", drafts(b"1"))

        dead = own.port
        own.kill()
        asyncio.run(scenario())


class TestGuarantees:
    @pytest.mark.parametrize(
        ("settings", "survives_machine", "loses"),
        [
            ("", False, "two minutes"),
            ("?replicas=3", True, "most of the servers"),
            ("?storage=memory", False, "when the server ends"),
            ("?storage=memory&replicas=3", False, "most of the servers end"),
        ],
    )
    def test_they_follow_the_settings(self, settings: str, survives_machine: bool, loses: str) -> None:
        """What may be lost is said before the log is started."""
        guarantees = open_log(f"nats://host{settings}").guarantees
        assert guarantees.survives_machine is survives_machine
        assert loses in guarantees.can_lose


class TestStream:
    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({"max_age": 10**12}, "max_age=1000000000000 drops"),
            ({"max_msgs_per_subject": 5}, "max_msgs_per_subject=5 drops"),
            ({"discard": "old", "max_bytes": 10**6}, "max_bytes drops the oldest"),
            ({"allow_atomic": False}, "allow_atomic=False, where True"),
            ({"allow_direct": False}, "allow_direct=False, where True"),
            ({"republish": None}, "its republish is None"),
            ({"deny_purge": True}, "it has deny_purge"),
        ],
    )
    def test_one_that_breaks_a_promise_is_refused(
        self, server: Nats, stream: Stream, change: dict[str, object], said: str
    ) -> None:
        """A stream that somebody changed is named, with what is wrong about it, and left as it is."""

        async def scenario() -> str:
            async with opened(stream.at(server.url)):
                info = await ask(server.url, f"STREAM.INFO.{stream.name}")
            config = {**info["config"], **change}
            answer = await ask(server.url, f"STREAM.UPDATE.{stream.name}", **config)
            assert "error" not in answer, answer["error"]
            return await refusal(opened(stream.at(server.url)).__aenter__())

        text = asyncio.run(scenario())
        assert stream.name in text
        assert said in text

    def test_another_storage_is_refused(self, server: Nats, stream: Stream) -> None:
        """What the guarantees say of the storage is what the stream has."""

        async def scenario() -> str:
            async with opened(stream.at(server.url, storage="memory")):
                pass
            return await refusal(opened(stream.at(server.url, storage="file")).__aenter__())

        assert "storage=memory, where file is needed" in asyncio.run(scenario())

    def test_more_replicas_than_servers_are_refused(self, server: Nats, stream: Stream) -> None:
        """The server's own words say why the stream cannot be made."""
        text = asyncio.run(refusal(opened(stream.at(server.url, replicas=3)).__aenter__()))
        assert "replicas > 1 not supported in non-clustered mode" in text

    def test_a_server_without_jetstream_is_refused(self, tmp_path: Path, stream: Stream) -> None:
        """Where JetStream is off, the text says so."""

        class Plain(Nats):
            def command(self) -> list[str]:
                return [super().command()[0], "-a", "127.0.0.1", "-p", str(self.port)]

        with Plain(tmp_path) as engine:
            text = asyncio.run(refusal(opened(stream.at(engine.url)).__aenter__()))
        assert "JetStream is off" in text

    def test_a_missing_right_is_said(self, tmp_path: Path, stream: Stream) -> None:
        """Where this user may not ask JetStream, the text has the server's complaint."""
        rights = 'authorization { users = [{ user: u, password: p, permissions: { publish: "nothing" } }] }'
        with Nats(tmp_path, settings=rights) as engine:
            url = stream.at(engine.url.replace("//", "//u:p@"), timeout=0.5)
            text = asyncio.run(refusal(opened(url).__aenter__()))
        assert "permissions violation for publish" in text

    def test_an_old_server_is_refused(self, stream: Stream) -> None:
        """A server before 2.12.2 is refused before it is asked for anything that it would misunderstand."""

        async def scenario() -> str:
            async with _greeting("2.12.1") as url:
                return await refusal(opened(stream.at(url)).__aenter__())

        assert "the server has version 2.12.1, and the log needs 2.12.2 or later" in asyncio.run(scenario())


class TestProcesses:
    def test_a_fork_is_refused(self, server: Nats, stream: Stream) -> None:
        """A process that was forked from one that has the log open gets an error; its parent keeps its connection."""

        async def scenario() -> None:
            async with opened(stream.at(server.url)) as (log, _):
                await log.append("t", drafts(b"1"))
                parent, child = multiprocessing.get_context("fork").Pipe()
                process = multiprocessing.get_context("fork").Process(target=_forked, args=(log, child))
                process.start()
                assert "of which this one is a fork" in await asyncio.to_thread(parent.recv)
                await asyncio.to_thread(process.join)
                assert (await log.append("t", drafts(b"2"))).position.seq == 2

        asyncio.run(scenario())

    def test_a_hub_that_nobody_closed_goes_on_with_the_next_loop(self, server: Nats, stream: Stream) -> None:
        """What was published on a loop that is closed by now is there on the next."""
        hub = Hub(stream.at(server.url))

        async def read(count: int) -> list[str]:
            async with hub.subscribe("topic", after="earliest") as events:
                return [(await anext(events)).data for _ in range(count)]

        for text in ("one", "two"):
            asyncio.run(_publish(hub, text))
        assert asyncio.run(read(2)) == ["one", "two"]
        asyncio.run(hub.close())

    def test_two_hubs_see_each_other(self, server: Nats, stream: Stream) -> None:
        """What one publishes the other's subscribers get, and come back to after it was away."""

        async def scenario() -> None:
            async with Hub(stream.at(server.url)) as one, Hub(stream.at(server.url)) as other:
                async with other.subscribe("t") as events:
                    first = await one.publish("t", "1")
                    assert (await anext(events)).data == "1"
                await one.publish("t", "2")
                await other.publish("t", "3")
                async with other.subscribe("t", after=str(first)) as events:
                    assert [(await anext(events)).data for _ in range(2)] == ["2", "3"]
                assert other.stats().gaps == {}

        asyncio.run(scenario())


async def _publish(hub: Hub, text: str) -> None:
    await hub.publish("topic", text)


def _forked(log: Log, told: multiprocessing.connection.Connection) -> None:
    try:
        asyncio.run(log.append("t", drafts(b"x")))
    except LogUnavailable as error:
        told.send(str(error))


@asynccontextmanager
async def _greeting(version: str) -> AsyncIterator[str]:
    """Greet as a server of some version does, and say that one is alive."""

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"version":"%s","max_payload":1048576,"headers":true}\r\n' % version.encode())
        while line := await reader.readline():
            if line.startswith(b"PING"):
                writer.write(b"PONG\r\n")
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    async with server:
        yield f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}"
