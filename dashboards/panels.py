"""The panels that the boards are made of, by Grafana's foundation SDK, all in one look.

Rules of this file:
- It knows Grafana and not smtpcheck's metrics; what is shown is in the board's own file.
- Instant queries for numbers, bars and tables; range queries for graphs.
- Widths are in the grid's 24 columns. A row of panels has equal heights and fills the width.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from string import ascii_uppercase
from typing import Any, TypeVar

from grafana_foundation_sdk.builders import bargauge, common, dashboard, prometheus, stat, statetimeline, timeseries
from grafana_foundation_sdk.builders import table as tables
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as options
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from dashboards.queries import Query

GOOD, FAIR, POOR, BAD, GREY = "green", "yellow", "orange", "red", "#8e8e8e"
DATASOURCE = model.DataSourceRef(type_val="prometheus", uid="${datasource}")

Panel = Builder[model.Panel]
_P = TypeVar("_P", stat.Panel, bargauge.Panel, timeseries.Panel, statetimeline.Panel, tables.Panel)
_Steps = Sequence[tuple[float, str]]


@dataclass(frozen=True, slots=True)
class Link:
    """Where a value links to: another board, or a page outside Grafana."""

    title: str
    url: str
    leaves: bool = False
    """Whether it opens in a new window."""


@dataclass(frozen=True, slots=True)
class Frame:
    """What every panel has: its title, its size and how its values are written."""

    title: str
    description: str
    width: int
    height: int
    unit: str = "short"
    decimals: int | None = None
    steps: _Steps = ()
    """From which value each colour applies; below the first one it is the base colour."""
    base: str = GOOD
    links: Sequence[Link] = ()
    """Where a value links to."""


_NOTHING: list[dict[str, object]] = [
    {"type": "special", "options": {"match": "null", "result": {"text": "-", "color": "transparent"}}}
]
"""Keeps a cell without a value from the colour of the lowest step."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: its title and how its values are shown."""

    title: str
    unit: str | None = None
    decimals: int | None = None
    steps: _Steps = ()
    base: str | None = None
    """The cell is coloured by its value; this colour applies below the first step."""
    words: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Text in place of a value, and the colour of its cell or nothing."""
    links: Sequence[Link] = ()
    width: int | None = None
    """In pixels; columns without one share the rest."""

    def properties(self) -> list[model.DynamicConfigValue]:
        """Return the column's overrides."""
        chosen: dict[str, Any] = {"unit": self.unit, "decimals": self.decimals, "custom.width": self.width}
        if self.base:
            chosen["thresholds"] = _thresholds(self.base, self.steps).build()
        mappings = _words(self.words)
        if self.base or any(colour for _, colour in self.words.values()):
            chosen["custom.cellOptions"] = {"type": "color-background", "mode": "basic"}
            mappings += _NOTHING
        if mappings:
            chosen["mappings"] = mappings
        if self.links:
            chosen["links"] = [{"title": x.title, "url": x.url, "targetBlank": x.leaves} for x in self.links]
        return [model.DynamicConfigValue(name, value) for name, value in chosen.items() if value is not None]


def number(frame: Frame, query: Query) -> Panel:
    """Return a panel of one large number, on the colour of its step; without colour if that is the text's own."""
    panel = _framed(stat.Panel(), frame).with_target(_target(query, "A", instant=True))
    mode = options.BigValueColorMode.NONE if frame.base == "text" else options.BigValueColorMode.BACKGROUND
    return panel.reduce_options(_last()).color_mode(mode).graph_mode(options.BigValueGraphMode.NONE)


def counts(frame: Frame, query: Query, colours: Mapping[str, str]) -> Panel:
    """Return a panel of one number for each series, in the colour of its name if there are any."""
    panel = _framed(stat.Panel(), frame).with_target(_target(query, "A", instant=True))
    for name, colour in colours.items():
        thresholds = _thresholds("text", ((1, colour),)).build()
        panel.override_by_name(name, [model.DynamicConfigValue("thresholds", thresholds)])
    return (
        panel.reduce_options(_last())
        .color_mode(options.BigValueColorMode.VALUE)
        .graph_mode(options.BigValueGraphMode.NONE)
    )


def state(frame: Frame, query: Query, colours: Mapping[str, str]) -> Panel:
    """Return a panel of the name of the one series, on the colour of that name."""
    panel = _framed(stat.Panel(), frame).with_target(_target(query, "A", instant=True))
    for name, colour in colours.items():
        panel.override_by_name(name, [model.DynamicConfigValue("color", {"mode": "fixed", "fixedColor": colour})])
    return (
        panel.reduce_options(_last())
        .color_mode(options.BigValueColorMode.BACKGROUND)
        .graph_mode(options.BigValueGraphMode.NONE)
        .text_mode(options.BigValueTextMode.NAME)
    )


def bars(frame: Frame, query: Query) -> Panel:
    """Return a horizontal bar for each series, in the query's order."""
    panel = _framed(bargauge.Panel(), frame).with_target(_target(query, "A", instant=True)).reduce_options(_last())
    return (
        panel.orientation(options.VizOrientation.HORIZONTAL)
        .display_mode(options.BarGaugeDisplayMode.BASIC)
        .value_mode(options.BarGaugeValueMode.TEXT)
        .min(0)
    )


def graph(
    frame: Frame,
    *queries: Query,
    stacked: bool = False,
    interval: str = "",
    colours: Mapping[str, str] | None = None,
    from_zero: bool = True,
) -> Panel:
    """Return lines over time, or with `stacked` areas.

    `interval` is the least distance of two points; `colours` gives series their colour by their names. The axis begins
    at 0, or without `from_zero` near the least value.
    """
    panel = _framed(timeseries.Panel(), frame)
    for query, letter in zip(queries, ascii_uppercase, strict=False):
        panel.with_target(_target(query, letter, instant=False))
    if interval:
        panel.interval(interval)
    if stacked:
        panel.stacking(common.StackingConfig().mode(options.StackingMode.NORMAL).group("A"))
    if from_zero:
        panel.axis_soft_min(0)
    for name, colour in (colours or {}).items():
        panel.override_by_name(name, [model.DynamicConfigValue("color", {"mode": "fixed", "fixedColor": colour})])
    return (
        panel.color_scheme(dashboard.FieldColor().mode(model.FieldColorModeId.PALETTE_CLASSIC_BY_NAME))
        .draw_style(options.GraphDrawStyle.LINE)
        .fill_opacity(70 if stacked else 8)
        .line_width(0 if stacked else 1)
        .show_points(options.VisibilityMode.AUTO)
        .legend(_legend())
        .tooltip(common.VizTooltipOptions().mode(options.TooltipDisplayMode.MULTI).sort(options.SortOrder.DESCENDING))
    )


def timeline(frame: Frame, query: Query, words: Mapping[str, tuple[str, str]]) -> Panel:
    """Return a band over time for each series, with words and colours in place of its values."""
    mapping = model.ValueMap({value: model.ValueMappingResult(text, colour) for value, (text, colour) in words.items()})
    panel = _framed(statetimeline.Panel(), frame).with_target(_target(query, "A", instant=False)).mappings([mapping])
    return (
        panel.show_value(options.VisibilityMode.NEVER)
        .merge_values(True)
        .row_height(0.8)
        .legend(_legend())
        .tooltip(common.VizTooltipOptions().mode(options.TooltipDisplayMode.SINGLE).sort(options.SortOrder.NONE))
    )


def table(
    frame: Frame, columns: Mapping[str, Column], *queries: Query, hidden: Sequence[str] = (), ascending: str = ""
) -> Panel:
    """Return a table of series with a column for each label and each query, first those named, in their order.

    The value of the only query is called `Value`, those of several `Value #A`, `Value #B`; series of several queries
    with the same labels become one row. `ascending` is the title of the column that it is ordered by.
    """
    panel = _framed(tables.Panel(), frame)
    for query, letter in zip(queries, ascii_uppercase, strict=False):
        panel.with_target(_target(query, letter, instant=True).format(PromQueryFormat.TABLE))
    if len(queries) > 1:
        panel.with_transformation(model.DataTransformerConfig("merge", options={}))
    order = {
        "excludeByName": dict.fromkeys(("Time", "__name__", "job", *hidden), True),
        "indexByName": {name: index for index, name in enumerate(columns)},
        "renameByName": {name: column.title for name, column in columns.items()},
    }
    panel.with_transformation(model.DataTransformerConfig("organize", options=order))
    for column in columns.values():
        if properties := column.properties():
            panel.override_by_name(column.title, properties)
    if ascending:
        panel.sort_by([common.TableSortByFieldState().display_name(ascending).desc(False)])
    return panel.filterable(True)


@dataclass(frozen=True, slots=True)
class Row:
    """A part of a board with its title."""

    title: str
    panels: Sequence[Panel]


def compose(board: dashboard.Dashboard, rows: Sequence[Row]) -> model.Dashboard:
    """Return the board with its rows, every panel placed and numbered in its order."""
    for row in rows:
        board.with_row(dashboard.Row(row.title))
        for panel in row.panels:
            board.with_panel(panel)
    built = board.build()
    for index, placed in enumerate(built.panels or (), start=1):
        placed.id_val = index
    return built


def as_json(board: model.Dashboard) -> str:
    """Return the board as Grafana's JSON; what fits on a line is on one."""
    return _written(json.loads(JSONEncoder().encode(board)), "") + "\n"


def _written(value: Any, indent: str) -> str:
    flat = json.dumps(value, ensure_ascii=False, sort_keys=True)
    if len(indent) + len(flat) <= 120 or not value or not isinstance(value, dict | list):
        return flat
    inner = f"{indent}  "
    if isinstance(value, list):
        lines = [_written(item, inner) for item in value]
        return f"[\n{inner}" + f",\n{inner}".join(lines) + f"\n{indent}]"
    lines = [f"{json.dumps(key)}: {_written(item, inner)}" for key, item in sorted(value.items())]
    return f"{{\n{inner}" + f",\n{inner}".join(lines) + f"\n{indent}}}"


def _framed(panel: _P, frame: Frame) -> _P:
    panel.title(frame.title).description(frame.description).datasource(DATASOURCE)
    panel.span(frame.width).height(frame.height).unit(frame.unit)
    panel.thresholds(_thresholds(frame.base, frame.steps))
    if frame.decimals is not None:
        panel.decimals(frame.decimals)
    if frame.links:
        links = (dashboard.DashboardLink(x.title).url(x.url).target_blank(x.leaves) for x in frame.links)
        panel.data_links(list(links))
    return panel


def _target(query: Query, letter: str, *, instant: bool) -> prometheus.Dataquery:
    target = prometheus.Dataquery().expr(query.expression).legend_format(query.legend).ref_id(letter)
    target.datasource(DATASOURCE)
    return target.instant() if instant else target.range()


def _thresholds(base: str, steps: _Steps) -> dashboard.ThresholdsConfig:
    levels = [model.Threshold(None, base), *(model.Threshold(value, colour) for value, colour in steps)]
    return dashboard.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(levels)


def _words(words: Mapping[str, tuple[str, str]]) -> list[dict[str, object]]:
    found = {
        value: {"text": text, "color": colour} if colour else {"text": text} for value, (text, colour) in words.items()
    }
    return [{"type": "value", "options": found}] if found else []


def _legend() -> common.VizLegendOptions:
    return (
        common.VizLegendOptions()
        .display_mode(options.LegendDisplayMode.LIST)
        .placement(options.LegendPlacement.BOTTOM)
        .show_legend(True)
        .calcs([])
    )


def _last() -> common.ReduceDataOptions:
    return common.ReduceDataOptions().values(False).calcs(["lastNotNull"]).fields("")
