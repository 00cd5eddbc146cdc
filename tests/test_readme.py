"""The table of metrics is that of the code; `tests/docs/` runs the rest of what the documents say."""

import re
from pathlib import Path

from smtpcheck.output.metrics import families as table
from smtpcheck.output.metrics.families import BY_PROVIDER, PER_CHECK, PER_CREDENTIAL, PER_LOOPBACK, PER_PROBE, TABLE
from tests.docs.documents import DOCUMENTS

ROOT = Path(__file__).parent.parent
METRICS = (ROOT / "docs" / "metrics.md").read_text()


def metric_rows() -> str:
    """Return the table of all metrics as docs/metrics.md must have it."""
    groups = {
        "check": PER_CHECK + PER_LOOPBACK,
        "probe": PER_PROBE,
        "credential": PER_CREDENTIAL,
        "provider": BY_PROVIDER,
        "agent": table.AGENT,
    }
    rows = ["| metric | of each | labels | meaning |", "|---|---|---|---|"]
    for name, families in groups.items():
        for family in families:
            labels = ", ".join(f"`{label}`" for label in family.labels if label not in groups)
            rows.append(f"| `{family.name}` | {name} | {labels} | {family.help} |")
    return "\n".join(rows)


def test_the_table_of_metrics_is_the_one_in_the_code() -> None:
    """The table stands between two marks; this message shows what belongs there."""
    found = re.search(r"<!-- metrics: begin -->\n(.*?)\n?<!-- metrics: end -->", METRICS, re.DOTALL)
    assert found
    assert found[1] == metric_rows()
    assert found[1].count("| `smtpcheck_") == len(TABLE)


def test_every_metric_that_a_page_names_exists() -> None:
    """Histograms have the suffixes of their series; a name with `*` in it stands for several."""
    names = {family.name for family in TABLE}
    series = names | {f"{name}_{suffix}" for name in names for suffix in ("bucket", "count", "sum")}
    texts = [(ROOT / document).read_text() for document in DOCUMENTS]
    named = set(re.findall(r"\b(smtpcheck_[a-z_]+)\b(?![*.])", "\n".join(texts)))
    assert len(named) > 30
    assert named - series == set()
