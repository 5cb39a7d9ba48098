"""Why a request was not done, as its answer says it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus

from starlette.responses import Response

__all__ = ["Problem"]


class Problem(Exception):  # noqa: N818 - RFC 9457's word; it never leaves the bridge
    """An answer that is no success. Its text is for those who hold a token: it may say what was wrong."""

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers or {}

    def response(self) -> Response:
        """Return it as RFC 9457 has it; without a `type`, the status alone says what kind it is."""
        content = {"status": self.status, "title": HTTPStatus(self.status).phrase, "detail": self.detail}
        headers = {"cache-control": "no-store", **self.headers}
        return Response(json.dumps(content), self.status, headers, "application/problem+json")
