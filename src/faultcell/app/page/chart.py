"""What is drawn where on the charts: options for ECharts, in the colours and lines of the reports."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from faultcell.app.worker.results import NEAREST, SHOWN, Line, Shown, rounded_up
from faultcell.curves.schema import Array
from faultcell.plotting.theme import DRAWN, GREY, INK

Channel = Literal["volt", "ampere", "celsius"]
FAINT = "rgba(107, 114, 128, 0.2)"  # on light ground and on dark
CHANNELS: dict[Channel, str] = {"volt": "Voltage", "ampere": "Current", "celsius": "Temperature"}
AXES: dict[Channel, str] = {
    "volt": "voltage / V",
    "ampere": "current / A (+ = charge)",
    "celsius": "temperature / °C",
}
DECIMALS: dict[Channel, int] = {"volt": 4, "ampere": 3, "celsius": 2}
# From one step of the axis of values to the next, the first whose width the values are wider than.
AXIS_STEPS = ((5.0, 1.0), (0.5, 0.1), (-np.inf, 0.02))
STRETCH = 1.05  # of the time that is shown over that of the longest curve
# Of the axis of values: faint lines to follow, and no numbers at its ends, which are none to remember.
NUMBERS = {"color": INK, "fontSize": 12, "hideOverlap": True}
VALUES = {"splitLine": {"lineStyle": {"color": FAINT}}, "axisLabel": {**NUMBERS, "showMinLabel": False, "showMaxLabel": False}}
LATE, EARLY = {"axisLabel": {**NUMBERS, "showMaxLabel": False}}, {"axisLabel": {**NUMBERS, "showMinLabel": False}}
# What a reader sees, as the legend draws it: a stroke's colour, width and dashes.
LEGEND = (  # the last one of voltages alone
    ("drawn curves", f'stroke="{DRAWN}" stroke-width="1" stroke-opacity="0.6"'),
    ("their median", f'stroke="{DRAWN}" stroke-width="2.4" stroke-dasharray="7 4"'),
    ("90 % of them", f'stroke="{DRAWN}" stroke-width="11" stroke-opacity="0.2"'),
    ("rated limits", f'stroke="{GREY}" stroke-width="1.6" stroke-dasharray="1.6 3"'),
)
BESIDE = {  # by where curves come from
    "conditions": ("nearest real curves", f'stroke="{INK}" stroke-width="1.8"'),
    "normal": ("the normal curve", f'stroke="{INK}" stroke-width="1.2"'),
}


def blank(channel: Channel, *, closer: bool) -> dict[str, Any]:
    """A chart without curves."""
    name = "time before the end / s" if closer else "time / s"
    axis: dict[str, Any] = {
        "type": "value",
        "nameLocation": "middle",
        "nameTextStyle": {"color": INK, "fontSize": 13},
        "axisLine": {"show": True, "onZero": False, "lineStyle": {"color": GREY}},
        "axisTick": {"show": True},
        "splitLine": {"show": False},
    }
    return {
        "animation": False,
        "textStyle": {"fontFamily": "system-ui, sans-serif"},
        "grid": {"left": 58, "right": 14, "top": 10, "bottom": 44},
        "xAxis": {**axis, **(EARLY if closer else LATE), "name": name, "nameGap": 26, "splitNumber": 4},
        "yAxis": {**axis, **VALUES, "name": AXES[channel], "nameGap": 40},
        "series": [],
    }


def options(shown: Shown, channel: Channel, *, closer: bool) -> dict[str, Any]:
    """A chart of what was drawn.

    Args:
        shown: the draw.
        channel: what to show of it.
        closer: only the end, where the fault is, with the ends of all curves at zero.
    """
    found = blank(channel, closer=closer)
    around = shown.end_band if closer else shown.band
    lower, median, upper = ((around.second, values) for values in getattr(around, channel))
    running = around.second <= (0 if closer else shown.duration)  # where the median curve has ended, half of them have
    median = (median[0][running], median[1][running])
    lines = [*shown.curves, *shown.nearest, *([] if shown.normal is None else [shown.normal])]
    ends = [shown.normal_shift if line is shown.normal else line.second[-1] for line in lines]
    parts = [
        _part(line.second, getattr(line, channel), end=end if closer else None, seconds=STRETCH * shown.close_up)
        for line, end in zip(lines, ends, strict=True)
    ]
    start, end = _span(shown, lines, closer=closer)
    limits = (shown.limits.lower, shown.limits.upper)
    low, high = _range([values for _, values in [*parts, lower, upper]], () if closer or channel != "volt" else limits)
    found["xAxis"] |= {"min": start, "max": end}
    found["yAxis"] |= {"min": low, "max": high}
    count = len(shown.curves)
    drawn, real, normal = parts[:count], parts[count : count + len(shown.nearest)], parts[count + len(shown.nearest) :]
    decimals = DECIMALS[channel]
    found["series"] = [
        *_band(lower, upper, decimals=decimals),
        *_lines("drawn", drawn, count=SHOWN, decimals=decimals, style={"color": DRAWN, "width": 1, "opacity": 0.45}),
        *_lines("median", [median], count=1, decimals=decimals, style={"color": DRAWN, "width": 2.4, "type": "dashed"}),
        *_lines("real", real, count=NEAREST, decimals=decimals, style={"color": INK, "width": 1.8}),
        *[
            _limit(name, value if channel == "volt" and low <= value <= high else None, span=(start, end))
            for name, value in zip(("lower", "upper"), limits, strict=True)
        ],
        # Last, so above all others: below a dozen of its faults nobody would see it.
        *_lines("normal", normal, count=1, decimals=decimals, style={"color": INK, "width": 1.2}),
    ]
    return found


def _part(second: Array, values: Array, *, end: float | None, seconds: float) -> tuple[Array, Array]:
    """The points that a chart shows of a curve: all, or those of so many seconds before a moment that counts as its end.

    Of a curve whose channel was not measured there are none.
    """
    measured = np.isfinite(values)
    second, values = second[measured], values[measured]
    if end is None:
        return second, values
    before = second - end
    kept = (before >= -seconds) & (before <= 0)
    return before[kept], values[kept]


def _span(shown: Shown, lines: Sequence[Line], *, closer: bool) -> tuple[float, float]:
    if closer:
        return -shown.close_up, 0.0
    return 0.0, rounded_up(STRETCH * max([shown.band.second[-1], *(line.second[-1] for line in lines)]))


def _range(values: Sequence[Array], limits: Sequence[float]) -> tuple[float, float]:
    """Where the axis of values begins and ends, in steps that make it stand still while a slider moves a little."""
    every = np.concatenate([np.asarray(limits, dtype=np.float64), *values])
    low, high = float(np.nanmin(every)), float(np.nanmax(every))
    step = next(step for width, step in AXIS_STEPS if high - low > width)
    return round(np.floor(low / step - 0.3) * step, 4), round(np.ceil(high / step + 0.3) * step, 4)


def _band(lower: tuple[Array, Array], upper: tuple[Array, Array], *, decimals: int) -> list[dict[str, Any]]:
    """Two stacked areas, the lower one unseen."""
    hidden = {
        "type": "line",
        "symbol": "none",
        "silent": True,
        "stack": "band",
        "stackStrategy": "all",
        "lineStyle": {"width": 0},
    }
    width = (lower[0], upper[1] - lower[1])
    return [
        {**hidden, "id": "band-lower", "data": _points(lower, decimals)},
        {
            **hidden,
            "id": "band",
            "data": _points(width, decimals),
            "areaStyle": {"color": DRAWN, "opacity": 0.18, "origin": "start"},
        },
    ]


def _lines(
    name: str, parts: Sequence[tuple[Array, Array]], *, count: int, decimals: int, style: dict[str, Any]
) -> list[dict[str, Any]]:
    """As many series as there may be curves: what has no curve is empty, so that charts keep their series."""
    padded = [*parts, *[(np.empty(0), np.empty(0))] * (count - len(parts))]
    plain = {"type": "line", "symbol": "none", "silent": True, "lineStyle": style}
    return [{**plain, "id": f"{name}-{index}", "data": _points(part, decimals)} for index, part in enumerate(padded)]


def _limit(name: str, value: float | None, *, span: tuple[float, float]) -> dict[str, Any]:
    style = {"color": GREY, "width": 1.6, "type": "dotted"}
    data = [] if value is None else [[place, value] for place in span]
    return {"id": f"limit-{name}", "type": "line", "symbol": "none", "silent": True, "lineStyle": style, "data": data}


def _points(part: tuple[Array, Array], decimals: int) -> list[list[float]]:
    second, values = part
    rounded: list[list[float]] = np.column_stack([second.round(1), values.round(decimals)]).tolist()
    return rounded
