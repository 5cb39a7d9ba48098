"""uvicorn: what is known of its connections, and a protocol class of our own for it.

    uvicorn app:app --http unbroken.servers.uvicorn:EventStreamProtocol

The class is made when it is asked for: nothing else here imports uvicorn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unbroken.errors import ConfigurationError, MissingExtraError
from unbroken.servers.uvicorn.connection import recognise

if TYPE_CHECKING:
    from unbroken.servers.uvicorn.protocol import EventStreamProtocol

__all__ = ["EventStreamProtocol", "recognise"]


def __getattr__(name: str) -> Any:
    if name != "EventStreamProtocol":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return _protocol()


def _protocol() -> Any:
    try:
        from unbroken.servers.uvicorn.protocol import EventStreamProtocol
    except ModuleNotFoundError as error:
        if error.name in ("uvicorn", "httptools"):
            raise MissingExtraError(error.name, "uvicorn") from error
        raise _too_different(error) from error
    except ImportError as error:
        raise _too_different(error) from error
    return EventStreamProtocol


def _too_different(error: ImportError) -> ConfigurationError:
    return ConfigurationError(f"this version of uvicorn has another inside than EventStreamProtocol builds on: {error}")
