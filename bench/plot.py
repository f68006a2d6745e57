"""The figures as one picture: a group of bars for each load, written as SVG by hand."""

from __future__ import annotations

from typing import Final
from xml.sax.saxutils import escape

from bench.peers import Peer
from bench.report import Report

_WIDTH: Final = 860
_LABEL: Final = 120
_BAR: Final = 16
_STEP: Final = 22
_SPAN: Final = _WIDTH - _LABEL - 110
_OWN, _REWRITES, _PASSES = "#c2410c", "#64748b", "#cbd5e1"
_INK: Final = "#1e293b"


def plot(report: Report) -> str:
    """Draw the costs of all loads. Bars far longer than the others are cut, and marked so."""
    parts: list[str] = []
    y = 78
    for load in report.plan.loads:
        costs = report.costs(load)
        if not costs:
            continue
        parts.append(_text(16, y, f"{load.title} ({load.unit})", weight="600"))
        y += 10
        full = _full_scale([cost for _, cost in costs])
        for peer, cost in costs:
            parts += _bar(peer, cost, full, y)
            y += _STEP
        y += 26
    legend = (
        _swatch(16, _OWN, "Segue")
        + _swatch(110, _REWRITES, "rewrites frames")
        + _swatch(270, _PASSES, "passes through; shorter is better")
    )
    title = _text(16, 24, "CPU time and memory of one unit of work, on one core", 15, "600")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{y}" '
        f'viewBox="0 0 {_WIDTH} {y}" font-family="system-ui, sans-serif" fill="{_INK}">\n'
        f'<rect width="{_WIDTH}" height="{y}" fill="#ffffff"/>\n{title}\n{legend}\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def _full_scale(costs: list[float]) -> float:
    largest, second = (sorted(costs, reverse=True) * 2)[:2]
    return second * 1.2 if largest > 2.5 * second else max(largest, 1e-9)


def _bar(peer: Peer, cost: float, full: float, y: int) -> list[str]:
    colour = _PASSES
    if peer.name.startswith("segue"):
        colour = _OWN
    elif peer.rewrites:
        colour = _REWRITES
    width = max(1.0, min(cost, full) / full * _SPAN)
    opacity = ' fill-opacity="0.45"' if peer.name == "segue-pass" else ""
    value = f"{cost:,.0f}" if cost >= 100 else f"{cost:.1f}" if cost >= 10 else f"{cost:.2f}"
    size = f'x="{_LABEL}" y="{y}" width="{width:.1f}" height="{_BAR}"'
    cut = " (bar cut)" if cost > full else ""
    return [
        _text(_LABEL - 8, y + _BAR - 4, peer.name, anchor="end"),
        f'<rect {size} fill="{colour}"{opacity}/>',
        _text(_LABEL + width + 6, y + _BAR - 4, value + cut),
    ]


def _swatch(x: int, colour: str, text: str) -> str:
    square = f'<rect x="{x}" y="34" width="12" height="12" fill="{colour}"/>'
    return square + _text(x + 18, 44, text)


def _text(
    x: float, y: float, text: str, size: int = 12, weight: str = "400", anchor: str = "start"
) -> str:
    return (
        f'<text x="{x:.0f}" y="{y:.0f}" font-size="{size}" font-weight="{weight}" '
        f'text-anchor="{anchor}">{escape(text)}</text>'
    )
