"""Publishes the records of a Kafka topic: each once and in order, however often this process is killed.

python examples/kafka/bridge.py
"""

import asyncio
import logging
import os
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from app import hub

from unbroken.errors import EncodeError, LogUnavailable, TopicClosed, TopicNameError

SERVERS = os.environ.get("KAFKA_SERVERS", "localhost:9092")
TOPIC = os.environ.get("KAFKA_TOPIC", "orders")
GROUP = os.environ.get("KAFKA_GROUP", "event-streams")  # what the offsets are committed under; nothing is balanced

logger = logging.getLogger("bridge")


class Publication(NamedTuple):
    topic: str
    data: str
    event: str | None
    key: str


def publication_of(record) -> Publication | None:
    """What of a record is published, and where; None for nothing. This is the part to make your own."""
    if record.key is None or record.value is None:  # a tombstone
        return None
    kind = dict(record.headers).get("type")
    return Publication(
        topic=f"order:{record.key.decode()}",
        data=record.value.decode(),
        event=None if kind is None else kind.decode(),
        key=f"{record.topic}/{record.partition}/{record.offset}",
    )


async def publish(hub, publication):
    while True:
        try:
            return await hub.publish(publication.topic, publication.data, event=publication.event, key=publication.key)
        except LogUnavailable as error:
            # It may be published or not: with its key it is, once. Kafka keeps what comes behind it.
            logger.warning("waiting for the log: %s", error)
            await asyncio.sleep(1)


async def forward(hub, records):
    """Publish the records of one partition, one after the other."""
    for record in records:
        try:
            publication = publication_of(record)
            if publication is not None:
                await publish(hub, publication)
        except (UnicodeDecodeError, EncodeError, TopicNameError, TopicClosed) as error:
            # Tried again it would fail again, and hold up all that comes behind it.
            where = f"{record.topic}/{record.partition}/{record.offset}"
            logger.error("record %s is passed over: %s", where, error)


async def begin(consumer):
    """Go on behind the committed offsets; where there is none yet, at the oldest record."""
    await consumer.topics()
    partitions = [TopicPartition(TOPIC, number) for number in sorted(consumer.partitions_for_topic(TOPIC) or ())]
    if not partitions:
        raise SystemExit(f"there is no topic {TOPIC!r} at {SERVERS}")
    consumer.assign(partitions)
    for partition in partitions:
        if await consumer.committed(partition) is None:
            await consumer.seek_to_beginning(partition)


async def run(hub, consumer):
    while True:
        batch = await consumer.getmany(timeout_ms=1000, max_records=500)
        async with asyncio.TaskGroup() as group:
            for records in batch.values():
                group.create_task(forward(hub, records))
        if not batch:
            continue
        try:  # only now: what a killed bridge has not committed, the next one publishes again, with the same keys
            await consumer.commit({partition: records[-1].offset + 1 for partition, records in batch.items()})
        except KafkaError as error:
            logger.warning("the offsets were not committed; the next commit says them, too: %r", error)


async def main():
    consumer = AIOKafkaConsumer(
        bootstrap_servers=SERVERS,
        group_id=GROUP,
        enable_auto_commit=False,  # it would commit what is not yet published
        isolation_level="read_committed",  # by default also what a transaction has taken back is read
        auto_offset_reset="none",  # records that Kafka has dropped before they were published are an error
    )
    async with hub, consumer:
        await begin(consumer)
        await run(hub, consumer)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    asyncio.run(main())
