"""The decoders of the libraries, without their HTTP: each takes chunks and says how many events they were."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module

from benchmarks.clients import floor

__all__ = ["DECODERS", "FLOOR", "REFERENCE", "Count"]

Count = Callable[[list[bytes]], int]

REFERENCE = "unbroken"
FLOOR = "C extension"


def _unbroken() -> Count:
    from unbroken.wire import Decoder

    def count(chunks: list[bytes]) -> int:
        feed = Decoder().feed
        return sum(len(feed(chunk)) for chunk in chunks)

    return count


def _floor() -> Count:
    from unbroken.wire import DecodedEvent

    module = floor.module()

    def count(chunks: list[bytes]) -> int:
        feed = module.Decoder(DecodedEvent).feed
        return sum(len(feed(chunk)) for chunk in chunks)

    return count


def _texts(chunks: Iterable[bytes]) -> Iterator[str]:
    # As httpx and httpx2 give text: with a decoder that keeps what is incomplete.
    decode = codecs.getincrementaldecoder("utf-8")(errors="replace").decode
    return (decode(chunk) for chunk in chunks)


def _httpx_sse() -> Count:
    module = import_module("httpx_sse._decoders")

    def count(chunks: list[bytes]) -> int:
        lines, decoder = module.SSELineDecoder(), module.SSEDecoder()
        return sum(decoder.decode(line) is not None for text in _texts(chunks) for line in lines.decode(text))

    return count


def _httpx2() -> Count:
    module = import_module("httpx2._sse")

    def count(chunks: list[bytes]) -> int:
        parser = module._SSEParser(2**24)
        return sum(1 for text in _texts(chunks) for _ in parser.decode(text))

    return count


def _launchdarkly() -> Count:
    module = import_module("ld_eventsource.reader")
    kind = import_module("ld_eventsource.actions").Event

    def count(chunks: list[bytes]) -> int:
        reader = module._SSEReader(module._BufferedLineReader.lines_from(chunks))
        return sum(isinstance(action, kind) for action in reader.events_and_comments())

    return count


def _sseclient_py() -> Count:
    module = import_module("sseclient")
    return lambda chunks: sum(1 for _ in module.SSEClient(chunks).events())


def _assel() -> Count:
    module = import_module("assel")
    return lambda chunks: sum(1 for _ in module.parse(chunks))


DECODERS: dict[str, Callable[[], Count]] = {
    REFERENCE: _unbroken,
    "httpx-sse": _httpx_sse,
    "httpx2": _httpx2,
    "launchdarkly-eventsource": _launchdarkly,
    "sseclient-py": _sseclient_py,
    "assel": _assel,
    FLOOR: _floor,
}
