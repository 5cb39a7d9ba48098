"""The options of `unbroken tail`, by what they are about."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

__all__ = [
    "CA",
    "After",
    "AsJson",
    "Count",
    "Data",
    "End",
    "Headers",
    "IdleTimeout",
    "Insecure",
    "MaxAttempts",
    "MaxEventBytes",
    "Method",
    "Quiet",
    "Reconnect",
    "Save",
    "StoreFile",
    "Strict",
    "Time",
    "Types",
    "Url",
]


def _option(panel: str, text: str, *names: str, **more: Any) -> Any:
    return typer.Option(*names, help=text, rich_help_panel=panel, show_default=False, **more)


_WHICH, _HOW, _REQUEST, _CONNECTION = "Which events", "What is written", "What is asked", "How it goes on"

Url = Annotated[str, typer.Argument(help="The event stream: https://example.org/events", show_default=False)]

After = Annotated[str | None, _option(_WHICH, "Begin behind this event ID.")]
StoreFile = Annotated[
    Path | None, _option(_WHICH, "Keep the place in this file, and begin where it was left.", "--store")
]
Types = Annotated[list[str] | None, _option(_WHICH, "Only events of this type. Repeatable.", "--event")]
Count = Annotated[int | None, _option(_WHICH, "End after so many events.", "--count", min=1)]
End = Annotated[str | None, _option(_WHICH, "The data of the event that ends the stream, such as \\[DONE].")]
Strict = Annotated[bool, _option(_WHICH, "End at a gap, with exit code 1.", "--strict")]

AsJson = Annotated[bool, _option(_HOW, "A JSON object in each line; gaps too.", "--json")]
Time = Annotated[bool, _option(_HOW, "With the time at which each event came.", "--time")]
Save = Annotated[Path | None, _option(_HOW, "Also write the bytes as they come into this file.")]
Quiet = Annotated[bool, _option(_HOW, "No notices and no progress on standard error.", "--quiet", "-q")]

Headers = Annotated[
    list[str] | None,
    _option(_REQUEST, "`Name: value`, or `@FILE` with one in each line. Repeatable.", "--header", "-H"),
]
Method = Annotated[str | None, _option(_REQUEST, "GET, or POST with --data.", "--method", "-X")]
Data = Annotated[str | None, _option(_REQUEST, "The body; `@FILE` reads it, `@-` standard input.", "--data", "-d")]
CA = Annotated[Path | None, _option(_REQUEST, "File of certificates to trust.", "--ca")]
Insecure = Annotated[bool, _option(_REQUEST, "Do not verify the certificate.", "--insecure")]

Reconnect = Annotated[
    bool | None,
    _option(_CONNECTION, "Connect again when the stream ends or breaks; a GET does.", "--reconnect/--no-reconnect"),
]
MaxAttempts = Annotated[
    int | None,
    _option(_CONNECTION, "Failures in a row before it gives up. Without it: one at first, then any number.", min=1),
]
MaxEventBytes = Annotated[
    int | None,
    _option(_CONNECTION, "The longest line, and the most data of an event; 16 MiB. More ends it.", min=1),
]
IdleTimeout = Annotated[
    float | None,
    _option(_CONNECTION, "Seconds of silence after which to connect again; 3 heartbeats, or 45. 0: never.", min=0),
]
