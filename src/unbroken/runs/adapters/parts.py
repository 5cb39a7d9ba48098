"""What the adapters give: an event's type and its data, in one vocabulary for all models.

text         a piece of the answer, a `str`
reasoning    a piece of what the model thinks before it answers, a `str`
tool-call    {"id", "name", "input"}, once it is whole; with "error" where its input is not what it should be
tool-result  {"id", "name", "output"}; with "error": true where the tool failed
finish       {"reason", "usage"?}: an answer is whole; an agent's run has one for each answer of its model
"""

from __future__ import annotations

import json
from typing import Any

__all__ = ["Part", "finish", "tool_call"]

Part = tuple[str, Any]
"""An event's type, and its data."""

REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "max_output_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_calls": "tool-calls",
    "tool_use": "tool-calls",
    "function_call": "tool-calls",
    "content_filter": "content-filter",
    "refusal": "content-filter",
}
"""What the APIs call the end of an answer, in the words of one; what is not here goes as it is."""


def tool_call(id: str, name: str, arguments: str) -> Part:  # noqa: A002 - the field's own name
    """Return a call, its arguments being JSON as the model wrote it. A model may be cut off while it writes."""
    try:
        return "tool-call", {"id": id, "name": name, "input": json.loads(arguments or "{}")}
    except ValueError:
        return "tool-call", {"id": id, "name": name, "input": arguments, "error": "the input is no JSON"}


def finish(reason: str, input_tokens: int | None = None, output_tokens: int | None = None) -> Part:
    """Return the end of an answer, with its usage where it is known."""
    data: dict[str, Any] = {"reason": REASONS.get(reason, reason)}
    if output_tokens is not None:
        data["usage"] = {"input_tokens": input_tokens or 0, "output_tokens": output_tokens}
    return "finish", data
