"""The cost of a delivery as a picture: a row a peer, a dot for each number of subscribers, on a logarithmic axis."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from html import escape

from benchmarks.fanout.results import Results

__all__ = ["picture"]

_FIGURE = "cpu"
_WIDTH, _LEFT, _RIGHT = 860, 270, 30
_TOP, _ROW, _BOTTOM = 64, 30, 46
_SHADES = ("#9ecae1", "#4a97c9", "#1f5f9c", "#0b2f5b")
_OURS = ("#fdbe85", "#f28b3c", "#d2560d", "#8a3200")
_GRID = (1, 2, 5, 10, 20, 50, 100, 200, 500)
_STYLE = "font-family:sans-serif;font-size:13px;fill:#222"


@dataclass(frozen=True, slots=True)
class _Axis:
    low: float
    high: float

    def x(self, value: float) -> float:
        share = math.log(value / self.low) / math.log(self.high / self.low)
        return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)


def picture(results: Results) -> str:
    """Draw it as SVG, the cheapest at the largest common number of subscribers on top."""
    sizes = results.sizes(_FIGURE)
    peers = sorted(
        (peer for peer in results.values if results.get(peer, _FIGURE, sizes[0])),
        key=lambda peer: statistics.median(results.get(peer, _FIGURE, sizes[0])),
    )
    values = [value for peer in peers for size in sizes for value in results.get(peer, _FIGURE, size)]
    axis = _Axis(min(values) * 0.8, max(values) * 1.15)
    height = _TOP + _ROW * len(peers) + _BOTTOM
    rows = [_row(results, peer, sizes, axis, _TOP + _ROW * (row + 0.5)) for row, peer in enumerate(peers)]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" style="{_STYLE}">',
            f'<rect width="{_WIDTH}" height="{height}" fill="white"/>',
            _text(_LEFT, 22, "µs of server CPU per delivery", "font-weight:bold"),
            *_legend(sizes),
            *_grid(axis, height - _BOTTOM),
            *rows,
            "</svg>\n",
        ]
    )


def _row(results: Results, peer: str, sizes: list[int], axis: _Axis, y: float) -> str:
    ours = peer.startswith("unbroken")
    weight = "font-weight:bold;" if ours else ""
    marks = [_text(_LEFT - 14, y + 4, peer, f"{weight}text-anchor:end")]
    for size, shade in zip(sizes, _OURS if ours else _SHADES, strict=False):
        marks.append(_dot(results.get(peer, _FIGURE, size), shade, axis, y))
    return "\n".join(marks)


def _dot(values: list[float], shade: str, axis: _Axis, y: float) -> str:
    """Draw the median, and the range as a line through it."""
    if not values:
        return ""
    low, high, median = axis.x(min(values)), axis.x(max(values)), axis.x(statistics.median(values))
    line = f'<line x1="{low:.1f}" x2="{high:.1f}" y1="{y}" y2="{y}" stroke="{shade}" stroke-width="3"/>'
    return f'{line}<circle cx="{median:.1f}" cy="{y}" r="6" fill="{shade}"/>'


def _legend(sizes: list[int]) -> list[str]:
    parts = []
    for place, (size, shade, own) in enumerate(zip(sizes, _SHADES, _OURS, strict=False)):
        x = _LEFT + place * 110
        parts.append(f'<circle cx="{x + 6}" cy="40" r="6" fill="{shade}"/>')
        parts.append(f'<circle cx="{x + 20}" cy="40" r="6" fill="{own}"/>')
        parts.append(_text(x + 32, 44, f"{size:,}"))
    return [*parts, _text(_LEFT + len(sizes) * 110, 44, "subscribers")]


def _grid(axis: _Axis, bottom: float) -> list[str]:
    parts = []
    for value in _GRID:
        if axis.low <= value <= axis.high:
            x = axis.x(value)
            parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{bottom}" stroke="#ddd"/>')
            parts.append(_text(x, bottom + 18, f"{value}", "text-anchor:middle"))
    return parts


def _text(x: float, y: float, text: str, style: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" style="{style}">{escape(text)}</text>'
