"""What the decoders are given: streams as people have them, in the chunks in which they come."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["STREAMS", "Stream", "tokens"]

_SEGMENT = 1448
_READ = 65536


@dataclass(frozen=True, slots=True)
class Stream:
    """The chunks of a stream, and how many events they are."""

    chunks: list[bytes]
    events: int

    @property
    def bytes(self) -> int:
        return sum(map(len, self.chunks))


def _token(number: int) -> bytes:
    return (
        b'data: {"id":"chatcmpl-8f2","object":"chat.completion.chunk","created":1730000000,"model":"m",'
        b'"choices":[{"index":0,"delta":{"content":" tok%d"},"finish_reason":null}]}\n\n' % number
    )


def _emoji(number: int) -> bytes:
    return _token(number).replace(b" tok", " 😀é".encode())


def _named(number: int) -> bytes:
    return b'id: %d\nevent: tick\ndata: {"n":%d,"price":123.45,"symbol":"ABC"}\n\n' % (number, number)


def _typed(number: int) -> bytes:
    return (
        b"event: content_block_delta\n"
        b'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":" tok%d"}}\n\n' % number
    )


def _large(_: int) -> bytes:
    return b"data: " + b"x" * 65536 + b"\n\n"


def _lines(number: int) -> bytes:
    return b"event: patch\n" + b"".join(b"data: <li>%d</li>\n" % line for line in range(number, number + 8)) + b"\n"


def tokens(events: int) -> list[bytes]:
    """Return the blocks of a language model's answer."""
    return [_token(number) for number in range(events)]


def _one_each(block: Callable[[int], bytes], events: int) -> Stream:
    return Stream([block(number) for number in range(events)], events)


def _cut(block: Callable[[int], bytes], events: int, size: int) -> Stream:
    stream = b"".join(block(number) for number in range(events))
    return Stream([stream[at : at + size] for at in range(0, len(stream), size)], events)


def _crlf(number: int) -> bytes:
    return _named(number).replace(b"\n", b"\r\n")


def _heartbeats(events: int) -> Stream:
    return Stream([b": keep-alive\n\n" * 9 + _token(number) for number in range(events // 10)], events // 10)


STREAMS: dict[str, Callable[[int], Stream]] = {
    "tokens, one a chunk": lambda size: _one_each(_token, size),
    "tokens, reads of 64 KiB": lambda size: _cut(_token, size, _READ),
    "tokens with emoji, 64 KiB": lambda size: _cut(_emoji, size, _READ),
    "event + data, one a chunk": lambda size: _one_each(_typed, size),
    "id + event + data, one a chunk": lambda size: _one_each(_named, size),
    "id + event + data, segments": lambda size: _cut(_named, size, _SEGMENT),
    "id + event + data, 64 KiB": lambda size: _cut(_named, size, _READ),
    "the same in CRLF, 64 KiB": lambda size: _cut(_crlf, size, _READ),
    "8 lines of data, 64 KiB": lambda size: _cut(_lines, size // 4, _READ),
    "nine heartbeats to an event": _heartbeats,
    "lines of 64 KiB, 64 KiB": lambda size: _cut(_large, max(2, size // 200), _READ),
    "single bytes": lambda size: _cut(_named, max(2, size // 50), 1),
}
