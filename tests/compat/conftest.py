"""Leaves FastAPI's tests out where there is no FastAPI: it is an extra, and the rest must work without it."""

from importlib.util import find_spec

collect_ignore_glob = [] if find_spec("fastapi") else ["test_fastapi*"]
