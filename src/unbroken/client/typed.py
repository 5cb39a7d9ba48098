"""Events to values: JSON, or models of pydantic by event type."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Mapping
from typing import Any

from unbroken.client.controls import Gap
from unbroken.errors import ConfigurationError, EventDataError, MissingExtraError
from unbroken.wire import DecodedEvent

__all__ = ["Parse", "parser_of"]

Parse = Callable[[DecodedEvent], Any]

_MAX_REASONS = 500


def parser_of(model: Any, models: Mapping[str, Any] | None) -> Parse:
    """Return what turns an event into a value: by the model of its type, or else by `model`, or else as plain JSON.

    Raises:
        ConfigurationError: a model is none that pydantic knows.
        MissingExtraError: there are models, and no pydantic.
    """
    rest = DecodedEvent.json if model is None else _validator(model)
    by_type = {event: _validator(each) for event, each in (models or {}).items()}

    def parse(event: DecodedEvent) -> Any:
        return event if isinstance(event, Gap) else by_type.get(event.event, rest)(event)

    return parse


def _validator(model: Any) -> Parse:
    try:
        from pydantic import TypeAdapter, ValidationError
        from pydantic.errors import PydanticUndefinedAnnotation, PydanticUserError
    except ImportError as error:
        raise MissingExtraError("pydantic", "models") from error
    try:
        adapter = TypeAdapter(model)
        adapter.rebuild()  # or a name that is not defined would be found at the first event
    except (PydanticUserError, PydanticUndefinedAnnotation) as error:
        raise ConfigurationError(f"model {model!r} cannot be used: {error.message}") from error

    def validate(event: DecodedEvent) -> Any:
        try:
            return adapter.validate_json(event.data)
        except ValidationError as error:
            raise _mismatch(event, str(error)) from error

    return validate


def _mismatch(event: DecodedEvent, reasons: str) -> EventDataError:
    return EventDataError(
        f"the event of type {event.event!r} and last event ID {event.last_event_id!r} does not have its model's form; "
        f"its data is {reprlib.repr(event.data)}: {reasons[:_MAX_REASONS]}",
        event,
    )
