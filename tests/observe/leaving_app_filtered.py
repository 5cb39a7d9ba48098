"""The same application, with the filter on the loggers of the servers."""

from __future__ import annotations

import logging

from tests.observe.leaving_app import app
from unbroken.observe import ClientLeavingFilter

__all__ = ["app"]

for name in ("uvicorn.error", "hypercorn.error", "daphne.server", "_granian.utils"):
    logging.getLogger(name).addFilter(ClientLeavingFilter())
    logging.getLogger(name).setLevel(logging.INFO)
