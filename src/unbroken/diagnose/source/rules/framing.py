"""SSE011 and SSE018: frames that are written by hand."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import libcst as cst

from unbroken.diagnose.source.calls import foreground, generators, short
from unbroken.diagnose.source.lines import is_one_line
from unbroken.diagnose.source.module import SourceModule
from unbroken.diagnose.source.rules.rule import Problem, Rule, Subject
from unbroken.diagnose.source.streams import Kind, Stream
from unbroken.diagnose.source.text import FIELD, Piece, ends_event, is_built, is_frame, pieces

__all__ = ["RULES"]

NEVER_FRAMES: Final = frozenset({
    "json.dumps", "orjson.dumps", "ujson.dumps", "simplejson.dumps", "msgspec.json.encode",
})  # fmt: skip
"""What makes a value, and no frame."""


def takes_text(stream: Stream) -> bool:
    """Say whether what is yielded goes out as it is: as frames that the generator has to write itself."""
    if stream.kind is Kind.FASTAPI:
        return isinstance(stream.at, cst.Call)
    if stream.kind is Kind.UNBROKEN:
        preframed = stream.options.get("preframed")
        return isinstance(preframed, cst.Name) and preframed.value == "True"
    return stream.kind in {Kind.STARLETTE, Kind.UNKNOWN}


def _injection(subject: Subject) -> Iterator[Problem]:
    module = subject.module
    for stream in subject.streams:
        if not takes_text(stream):
            continue
        for function in foreground(module, stream):
            for frame, found in _frames(module, function):
                hole = next(
                    (piece for piece in found if not isinstance(piece, str) and _may_break(module, piece)), None
                )
                if hole is not None:
                    yield Problem(frame, _injection_text(module, hole, found))


def _frames(module: SourceModule, function: cst.FunctionDef) -> Iterator[tuple[cst.BaseExpression, list[Piece]]]:
    """Yield the texts in `function` that begin as a frame does, the outermost of those inside one another."""
    stack: list[cst.CSTNode] = list(reversed(function.body.children))
    while stack:
        node = stack.pop()
        if isinstance(node, cst.BaseExpression) and is_built(node):
            found = pieces(module, node)
            if is_frame(found):
                yield node, found
            continue
        if not isinstance(node, cst.FunctionDef | cst.Lambda):
            stack.extend(reversed(node.children))


def _may_break(module: SourceModule, hole: cst.BaseExpression) -> bool:
    return not (_is_made_of_frames(module, hole) or is_one_line(module, hole))


def _is_made_of_frames(module: SourceModule, hole: cst.BaseExpression) -> bool:
    """Say whether a name stands for frames that are put together elsewhere, and looked at there."""
    found = module.assigned(hole) if isinstance(hole, cst.Name) else []
    return bool(found) and all(
        isinstance(node, cst.BaseExpression) and is_built(node) and is_frame(pieces(module, node)) for node in found
    )


def _injection_text(module: SourceModule, hole: cst.BaseExpression, found: list[Piece]) -> str:
    before = next((piece for piece in reversed(found[: found.index(hole)]) if isinstance(piece, str)), "")
    field = re.findall(r"(data|event|id|retry):", before)
    name = field[-1] if field else "data"
    return (
        f"`{short(module, hole)}` goes into a `{name}:` line as it is: a line break in it ends the line, so the rest "
        "is lost, or is read as a field or an event of its own. Yield a `ServerSentEvent`, which splits lines, or "
        "`json.dumps` it"
    )


def _wrong_framing(subject: Subject) -> Iterator[Problem]:
    module = subject.module
    for stream in subject.streams:
        if stream.kind is Kind.COMPAT:
            continue
        for function in generators(module, stream):
            values = [
                found.value
                for found in module.find(cst.Yield, within=function.body, own=True)
                if isinstance(found.value, cst.BaseExpression)
            ]
            if takes_text(stream):
                if function is stream.generator or any(is_frame(pieces(module, value)) for value in values):
                    yield from _broken(module, values)  # any other generator may make text for a frame, and no frames
            else:
                yield from _twice(module, stream, values)


def _twice(module: SourceModule, stream: Stream, values: list[cst.BaseExpression]) -> Iterator[Problem]:
    for value in values:
        found = pieces(module, value)
        if is_frame(found) and _is_hand_framed(found) and not _is_bytes(module, value):
            yield Problem(
                value,
                f"The response of {stream.kind.value} frames what is yielded, and this is a frame already: the "
                "client gets `data: data: …`. Yield the data alone, or a `ServerSentEvent`",
            )


def _is_hand_framed(found: list[Piece]) -> bool:
    """Say whether a text is meant as a frame: `data: …` alone could be somebody's data."""
    first = found[0]
    return ends_event(found) or (isinstance(first, str) and re.match(r"(data|event|id|retry): ?", first) is not None)


def _is_bytes(module: SourceModule, value: cst.BaseExpression) -> bool:
    code = module.code(value)
    return code.startswith(("b'", 'b"', "B'", 'B"')) or ".encode(" in code


def _broken(module: SourceModule, values: list[cst.BaseExpression]) -> Iterator[Problem]:
    texts = [(value, pieces(module, value)) for value in values]
    unended = not any(_may_end(found) for _, found in texts)
    for value, found in texts:
        why = _flaw(module, found, unended)
        if why is not None:
            yield Problem(value, why)


def _may_end(found: list[Piece]) -> bool:
    """Say whether an event may end with this text: with a blank line, or with what is not known."""
    last = found[-1] if found else None
    return not isinstance(last, str) or ends_event(found) or (len(found) == 1 and not last.strip("\r\n"))


def _flaw(module: SourceModule, found: list[Piece], unended: bool) -> str | None:
    first = found[0] if found else ""
    if not isinstance(first, str):
        return _bare(module, first) if _is_bare(module, found) else None
    if first.strip() and not is_frame(found):
        return f"`{_shown(first)}` begins with no field: the client drops the line. Write `data: ` before it"
    last = found[-1]
    if is_frame(found) and isinstance(last, str) and not last.endswith(("\n", "\r")):
        wrong = " (`\\\\n` is a backslash and an n, not a line break)" if last.endswith(("\\n", "/n")) else ""
        return rf"The frame does not end with a blank line{wrong}: it runs into the next one. End it with `\n\n`"
    if unended and is_frame(found) and not ends_event(found):
        return r"No frame of this generator ends with a blank line, so no event is ever dispatched. End it with `\n\n`"
    return _lost_line(found)


def _lost_line(found: list[Piece]) -> str | None:
    """Return what is wrong with a later line of a frame that has no field's name."""
    text = "".join(piece if isinstance(piece, str) else "\0" for piece in found)
    for line in re.split(r"\r\n|\n|\r", text)[1:]:
        if line and not line.startswith("\0") and not FIELD.match(line):
            return (
                f"The line `{_shown(line)}` begins with no field: the client drops it. Write `data: ` before every line"
            )
    return None


def _is_bare(module: SourceModule, found: list[Piece]) -> bool:
    """Say whether a text is a value without a field: JSON, or a model's token."""
    value = found[0]
    if isinstance(value, cst.Call) and module.called(value) in NEVER_FRAMES:
        return True
    return (
        isinstance(value, cst.BaseExpression) and re.search(r"\.delta\.(content|text)$", module.code(value)) is not None
    )


def _bare(module: SourceModule, value: cst.BaseExpression) -> str:
    return (
        f"`{short(module, value)}` is yielded without `data: ` and a blank line: the client of an event stream drops "
        "it. "
        r'Yield `f"data: {…}\n\n"`, or return `unbroken.EventSourceResponse`, which frames it'
    )


def _shown(text: str) -> str:
    line = text.strip("\r\n").replace("\0", "{…}").splitlines()[0]
    return line if len(line) <= 24 else line[:23] + "…"


RULES: Final = (
    Rule(
        "SSE011",
        "field-injection",
        "field-injection",
        "A frame written by hand with a value that may hold a line break",
        _injection,
        fixable=True,
        limits=(
            "A value passes if it is known to be one line: numbers, `json.dumps` without `indent`, `isoformat`, "
            "UUIDs, constants, words of `split()`, lines of `splitlines()`, names and attributes that are called "
            "like a number or an id (`id`, `count`, `percent`, `status`, …), parameters annotated as such, and what "
            "every call of a helper gives it. Libraries that write the frames pass: sse-starlette strips line "
            "breaks from `id` and `event`, fastapi.sse and unbroken refuse them."
        ),
    ),
    Rule(
        "SSE018",
        "wrong-framing",
        "wrong-framing",
        "Text that is no frame where frames are sent, or a frame where data is asked for",
        _wrong_framing,
        fixable=True,
        limits=(
            "Only what is constant in the yielded text is looked at: a frame in two yields passes, a name whose "
            "value comes from elsewhere passes. `bytes` given to sse-starlette or unbroken are frames, and pass "
            "there. unbroken.compat's responses are not looked at."
        ),
    ),
)
