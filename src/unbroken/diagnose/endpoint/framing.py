"""An event stream's bytes, read by a reader who forgives nothing.

`unbroken.wire.Decoder` does what the standard asks: it ignores what it does not
know. That is why mistakes in framing are so quiet, and why they are looked for here.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Final

from unbroken.diagnose.endpoint.flaws import Flaw

__all__ = ["FramingChecker", "Remark"]

LINE_BYTES: Final = 64 * 1024
"""What is kept of a line; the rest of it is only counted."""
HUGE_LINE: Final = 1024 * 1024
EXCERPT_BYTES: Final = 200
IDS: Final = 10_000
"""IDs that are remembered."""

_BOM: Final = b"\xef\xbb\xbf"
_FIELDS: Final = (b"data", b"event", b"id", b"retry")
_LINE_END = re.compile(rb"\r\n|\r|\n")
_FIELD_AGAIN = re.compile(rb"(data|event|id|retry):( |$)")
_NAME = re.compile(rb"[A-Za-z][A-Za-z0-9_-]*")
_PYTHON = re.compile(rb"""[\[(]*\{'|b'|b"|<[a-z_.]+ object at 0x""")
_OTHER_BODY = re.compile(rb"\s*(<(!doctype|html|\?xml|head|body)|[{\[])", re.IGNORECASE)


@dataclass(slots=True)
class Remark:
    """A flaw as it was found."""

    flaw: Flaw
    offset: int
    """Where the first one's line begins, in bytes from the start of the body."""
    excerpt: bytes
    is_cut: bool = False
    """Whether the line goes on after the excerpt, or may."""
    count: int = 1


class FramingChecker:
    """Notes every flaw of one body, and the IDs in it. Holds at most a line and a remark for each kind of flaw.

    Call `finish` once, when nothing more comes.
    """

    def __init__(self) -> None:
        self.ids: list[bytes] = []
        """Each `id` field's value, in order, as sent."""
        self.remarks: dict[Flaw, Remark] = {}
        self.events = 0
        self._rest = b""
        self._skipped = 0  # bytes of the line in _rest that were not kept
        self._offset = 0  # of the line in _rest
        self._lines = 0
        self._ends: set[bytes] = set()
        self._begin_block()

    @property
    def inside_event(self) -> bool:
        """Whether a field has come, or a part of a line, and no blank line since."""
        if self._rest == b"\r":  # a blank line, whether or not an LF follows
            return False
        return bool(self._rest or self._skipped or self._names)

    def feed(self, data: bytes) -> None:
        """Read `data`, cut in any way."""
        if Flaw.OTHER_BODY in self.remarks:  # every further line would be a flaw, and none would say more
            return
        text, start = self._rest + data, 0
        for end in _LINE_END.finditer(text):
            if end.end() == len(text) and end[0] == b"\r":
                break  # the LF that belongs to it may come with the next bytes
            self._end_line(text[start : end.start()], end[0])
            start = end.end()
        self._keep(text[start:])

    def _keep(self, rest: bytes) -> None:
        kept = rest[:LINE_BYTES]
        # The last byte stays: it may be the CR of a line's end.
        if len(rest) > LINE_BYTES:
            kept = rest[: LINE_BYTES - 1] + rest[-1:]
        self._skipped += len(rest) - len(kept)
        self._rest = kept

    def finish(self, *, complete: bool) -> None:
        """Judge what is left: `complete` says whether the body came to its end."""
        if self._rest.endswith(b"\r"):
            self._end_line(self._rest[:-1], b"\r")
            self._rest = b""
        elif not self._lines:
            self._look_for_other_body(self._rest, is_cut=True)
        if Flaw.OTHER_BODY in self.remarks:
            self.remarks = {Flaw.OTHER_BODY: self.remarks[Flaw.OTHER_BODY]}
        else:
            self._judge_rest(complete)

    def _judge_rest(self, complete: bool) -> None:
        if complete and self.inside_event:
            self._note(Flaw.UNENDED, self._rest or self._first, is_cut=bool(self._rest))
        elif not self.events and self._data_lines >= 2:
            self._note(Flaw.NEVER_ENDED, self._first)
        if len(self._ends) > 1:
            self._note(Flaw.MIXED_LINE_ENDS, b"")
        elif self._ends == {b"\r"}:
            self._note(Flaw.LONE_CR, b"")

    def _note(self, flaw: Flaw, line: bytes, *, is_cut: bool = False) -> None:
        if flaw in self.remarks:
            self.remarks[flaw].count += 1
        else:
            self.remarks[flaw] = Remark(flaw, self._offset, line[:EXCERPT_BYTES], is_cut or len(line) > EXCERPT_BYTES)

    def _begin_block(self) -> None:
        self._names: set[bytes] = set()
        self._data_lines = 0
        self._documents = 0
        self._first = b""

    def _end_line(self, line: bytes, end: bytes) -> None:
        length = len(line) + self._skipped
        self._skipped = 0
        self._ends.add(end)
        self._lines += 1
        if length > HUGE_LINE:
            self._note(Flaw.HUGE_LINE, line)
        self._take(line)
        self._offset += length + len(end)

    def _take(self, line: bytes) -> None:
        if self._lines == 1:
            line = line.removeprefix(_BOM)
            self._look_for_other_body(line)
        if not line:
            self._end_block()
        elif not line.startswith(b":"):
            self._take_field(line)
        # The very last character of a line that was not kept whole may be cut.
        if not _is_utf8(line) and len(line) < LINE_BYTES - 1:
            self._note(Flaw.INVALID_UTF8, line)

    def _look_for_other_body(self, first_line: bytes, *, is_cut: bool = False) -> None:
        if _OTHER_BODY.match(first_line):
            self._note(Flaw.OTHER_BODY, first_line, is_cut=is_cut)

    def _end_block(self) -> None:
        if b"data" in self._names:
            self.events += 1
        elif b"event" in self._names:
            self._note(Flaw.NO_DATA, self._first)
        if self._documents > 1 and self._documents == self._data_lines:
            self._note(Flaw.SEVERAL_DOCUMENTS, self._first)
        self._begin_block()

    def _take_field(self, line: bytes) -> None:
        name, colon, value = line.partition(b":")
        if name not in _FIELDS:
            self._note(_unknown(name, colon), line)
            return
        value = value.removeprefix(b" ")
        self._first = self._first or line
        # WHATWG 9.2.6: the last one counts, so that two of them are two events in one block.
        if name in self._names and name in (b"event", b"id"):
            self._note(Flaw.REPEATED_FIELD, line)
        self._names.add(name)
        if flaw := self._flaw_of(name, value):
            self._note(flaw, line)

    def _flaw_of(self, name: bytes, value: bytes) -> Flaw | None:
        if name == b"data":
            self._data_lines += 1
            self._documents += _is_document(value)
            return _flaw_of_data(value)
        if name == b"id":
            if len(self.ids) < IDS:
                self.ids.append(value)
            # WHATWG 9.2.6: "If the field value does not contain U+0000 NULL"
            return Flaw.NUL_IN_ID if b"\0" in value else None
        if name == b"retry" and not value.isdigit():
            return Flaw.BAD_RETRY
        return None


def _flaw_of_data(value: bytes) -> Flaw | None:
    if _FIELD_AGAIN.match(value):
        return Flaw.FRAMED_TWICE
    if value.startswith((b'"data:', b'"event:', b'"id:')):
        return Flaw.FRAME_AS_JSON
    if value.endswith(rb"\n\n"):
        return Flaw.ESCAPED_LINE_END
    if _PYTHON.match(value):
        return Flaw.PYTHON_REPR
    return None


def _unknown(name: bytes, colon: bytes) -> Flaw:
    if name.startswith(_BOM):
        return Flaw.BOM_WITHIN
    if name.strip().lower() in _FIELDS:
        return Flaw.MISSPELT_FIELD
    return Flaw.UNKNOWN_FIELD if colon and _NAME.fullmatch(name) else Flaw.STRAY_TEXT


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def _is_document(value: bytes) -> bool:
    if value[:1] not in (b"{", b"["):
        return False
    try:
        json.loads(value)
    except (ValueError, RecursionError):
        return False
    return True
