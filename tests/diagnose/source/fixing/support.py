"""What the tests of `fix` share: the corpus, modules out of text, and what their streams send."""

from __future__ import annotations

import gc
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager, nullcontext
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from unbroken.diagnose.source.fixing import FixedText, fix_text
from unbroken.diagnose.source.module import SourceModule
from unbroken.diagnose.source.streams import streams
from unbroken.testing import DeadlineError, StreamEndedError, VirtualClock, open_stream

CORPUS = Path(__file__).parent.parent / "corpus"
SOURCES = tuple(sorted(path.stem for path in CORPUS.glob("*.py") if path.stem not in {"__init__", "support"}))
NOT_RUN = "# run: no"
"""What a source says that cannot be run."""
LEAVES_BEHIND = re.compile("memory_object_stream|[mM]iddleware")
"""What leaves streams of anyio unclosed: they warn when they are collected, so that has to be within the test."""
EVENTS = 6
SILENCE = 5.0
"""Virtual seconds without an event after which a stream is taken to have said all."""

Sent = tuple[str, str, str]


@cache
def source(name: str) -> str:
    """Return the text of a source of the corpus."""
    return (CORPUS / f"{name}.py").read_text(encoding="utf-8")


@cache
def fixed(name: str) -> FixedText:
    """Return what `fix` makes of it."""
    return fix_text(source(name), path=f"{name}.py")


@contextmanager
def module_of(text: str, name: str) -> Iterator[ModuleType]:
    """Give the module that `text` is, as an import would make it."""
    module = ModuleType(f"corpus_{name}")
    sys.modules[module.__name__] = module  # where frameworks look annotations up
    try:
        exec(compile(text, f"{name}.py", "exec", dont_inherit=True), module.__dict__)
        yield module
    finally:
        del sys.modules[module.__name__]


def events_of(text: str, name: str) -> list[Sent]:
    """Run the module that `text` is, and return the first events of its `/stream`, comments left out."""
    clock = VirtualClock()
    with module_of(text, name) as module, warnings.catch_warnings():
        # What a broken original leaves behind is the collector's, and not what is tested.
        warnings.simplefilter("ignore", ResourceWarning)
        with clock.hold() if _has_threads(text) else nullcontext():
            sent = clock.run(_read(module.app))
        if LEAVES_BEHIND.search(text):
            gc.collect()
    return sent


def _has_threads(text: str) -> bool:
    """Say whether a generator runs in a thread, whose time is real."""
    return any(stream.generator is not None and not stream.is_async for stream in streams(SourceModule(CORPUS, text)))


async def _read(app: Any) -> list[Sent]:
    sent: list[Sent] = []
    async with AsyncExitStack() as stack:
        router = getattr(app, "router", None)
        if router is not None:
            await stack.enter_async_context(router.lifespan_context(app))
        stream = await stack.enter_async_context(open_stream(app, "/stream", raise_app_errors=False))
        try:
            while len(sent) < EVENTS:
                event = await stream.next_event(timeout=SILENCE)
                sent.append((event.event, event.data, event.last_event_id))
        except (DeadlineError, StreamEndedError):
            pass
    return sent
