from __future__ import annotations

import re
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "test-your-streams.md"
FENCED = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(
    "block", FENCED.findall(PAGE.read_text("utf-8")), ids=lambda block: block.split("def test_")[1].split("(")[0]
)
def test_the_examples_of_the_page_hold(block: str) -> None:
    """Every block of code on the page is a whole test, and passes."""
    names: dict[str, Any] = {"__name__": "example"}

    exec(compile(block, str(PAGE), "exec"), names)

    tests = [value for name, value in names.items() if name.startswith("test_") and isinstance(value, FunctionType)]
    assert len(tests) == 1
    tests[0]()
