"""What the boards have in common: variables, annotations, and links to each other and to the agents' pages."""

from collections.abc import Callable, Sequence
from typing import Any

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard as model

from dashboards import queries as q
from dashboards.panels import BAD, DATASOURCE, Link

Variable = Builder[model.VariableModel]

_TAG = "smtpcheck"
_JOBS = '{__name__=~"smtpcheck_build_info|smtpcheck_check_info"}'
"""Of the agents, and of /probe, which shows checks only."""
_KEPT = "${datasource:queryparam}&${job:queryparam}&${scheme:queryparam}&${__url_time_range}"


def _of_row(label: str) -> str:
    return f"${{__data.fields.{label}}}"


def _of_series(label: str) -> str:
    return f"${{__field.labels.{label}}}"


def _board(name: str, variable: str, of: Callable[[str], str]) -> str:
    chosen = f"var-{variable}={of(variable)}&var-instance={of('instance')}"
    return f"/d/smtpcheck-{name}?{chosen}&{_KEPT}"


def _page(path: str, of: Callable[[str], str]) -> str:
    return f"${{scheme}}://{of('instance')}/{path}"


def _check(of: Callable[[str], str]) -> tuple[Link, Link]:
    page = Link("Page of this check", _page(f"checks/{of('check')}", of), leaves=True)
    return Link("Dashboard of this check", _board("check", "check", of)), page


CHECK_OF_ROW = _check(_of_row)
CHECK_OF_SERIES = _check(_of_series)
PAGE_OF_CHOSEN = (Link("Page of this check", _page("checks/${check}", _of_row), leaves=True),)
"""On the board of one check, whose rows need not name it."""
CREDENTIAL_OF_ROW = (
    Link("Dashboard of this credential", _board("credentials", "credential", _of_row)),
    Link("Pages of its checks", _page(f"?q={_of_row('credential')}", _of_row), leaves=True),
)
HOST_OF_ROW = (Link("Pages of its checks", _page(f"?q={_of_row('host')}", _of_row), leaves=True),)
AGENT_OF_ROW = (Link("Page of this agent", _page("", _of_row), leaves=True),)


def board(
    uid: str, title: str, description: str, variables: Sequence[Variable], annotations: Sequence["Annotation"]
) -> dashboard.Dashboard:
    """Return an empty board with the variables that all have, and these between them."""
    source = dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus")
    scheme = (
        dashboard.CustomVariable("scheme")
        .label("Links")
        .description("Scheme of links to the agents' pages; the host is that of the label instance.")
        .values("http,https")
        .current(model.VariableOption(selected=True, text="http", value="http"))
    )
    job = label_variable("job", "Job", _JOBS)
    instance = label_variable("instance", "Agent", 'smtpcheck_build_info{job=~"$job"}', everything=".*")
    others = dashboard.DashboardLink("smtpcheck").type(model.DashboardLinkType.DASHBOARDS).tags([_TAG])
    return (
        dashboard.Dashboard(f"smtpcheck / {title}")
        .uid(uid)
        .description(description)
        .tags([_TAG])
        .time("now-6h", "now")
        .refresh("1m")
        .timezone("browser")
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .variables([source, job, instance, *variables, scheme])
        .annotations([_Built(annotation) for annotation in annotations])
        .link(others.include_vars(True).keep_time(True))
    )


def label_variable(name: str, label: str, series: str, everything: str = "", *, several: bool = True) -> Variable:
    """Return a variable with the values of a label of some series: several or all can be chosen, at first all.

    `everything` is the pattern that stands for all of them, where they may be thousands and no other series have the
    label; without it all of them are named. Without `several` it is always one, at first the first.
    """
    variable = (
        dashboard.QueryVariable(name)
        .label(label)
        .datasource(DATASOURCE)
        .query(f"label_values({series}, {name})")
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.ALPHABETICAL_ASC)
    )
    if not several:
        return variable
    variable.multi(True).include_all(True)
    variable.current(model.VariableOption(selected=True, text=["All"], value=["$__all"]))
    return variable.all_value(everything) if everything else variable


def provider_and_check() -> tuple[Variable, Variable]:
    """Return the variables of a board of many checks."""
    return (
        label_variable("provider", "Provider", q.agents("smtpcheck_check_info"), everything=".*"),
        label_variable("check", "Check", q.providers("smtpcheck_check_info"), everything=".*"),
    )


class Annotation(model.AnnotationQuery):
    """The times in which a query has a value above 0, with a text of its labels (in double braces).

    A label that a series lacks would appear in the text by its name. The text is read by the Prometheus data source
    itself, so that the board's own model does not know it.
    """

    def __init__(self, name: str, expression: str, text: str, colour: str = BAD) -> None:
        super().__init__(name=name, datasource=DATASOURCE, icon_color=colour, expr=expression)
        self._text = text

    def to_json(self) -> dict[str, object]:
        """Return it as Grafana stores it."""
        return {**super().to_json(), "titleFormat": self._text}


class _Built(Builder[model.AnnotationQuery]):
    """Hands on what is built already."""

    def __init__(self, annotation: Annotation) -> None:
        self._annotation = annotation

    def build(self) -> Any:
        return self._annotation
