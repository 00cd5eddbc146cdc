"""An inspection as text, JSON and CSV."""

import json

import pytest
from rich.console import Console

from smtpcheck.diagnosis.catalogue import load
from smtpcheck.model.inspection import Announcement, Fact, FactName, Inspection, NotReadable, Obstacle, Value
from smtpcheck.output.inspection import csv_cell, inspection_csv, inspection_json, inspection_text, value_text

ANNA = Fact(
    FactName.USER_NAME, "anna@contoso.example", "Entra", "GET /v1.0/users/...", 0.0, "a@b.example", personal=True
)


@pytest.mark.parametrize(
    ("value", "said"),
    [(True, "yes"), (False, "no"), (None, "not set"), ((), "none"), (("a", "b"), "a, b"), ("Enabled", "Enabled")],
)
def test_a_value_is_said_in_words(value: Value, said: str) -> None:
    assert value_text(value) == said


@pytest.mark.parametrize("value", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1"])
def test_no_cell_is_a_formula(value: str) -> None:
    assert csv_cell(value) == f"'{value}"


def test_names_are_shown_to_who_asks_and_to_nobody_else() -> None:
    found = Inspection((ANNA,))
    assert "anna@" in json.dumps(inspection_json("contoso", found, ()))
    assert "anna@" not in json.dumps(inspection_json("contoso", found, (), personal=False))


def test_what_could_not_be_read_has_a_row() -> None:
    missed = NotReadable("mailbox_user", Obstacle.PERMISSION, "permission User.Read.All is missing", 0.0)
    assert "not readable: permission User.Read.All is missing" in inspection_csv(Inspection(not_readable=(missed,)), ())


def test_an_announced_change_is_shown_with_its_dates() -> None:
    found = Inspection(
        announcements=(
            Announcement("microsoft", "exchange_online", "MC786329", "SMTP AUTH", 1798761600.0, 1769544661.0, 0.0),
            Announcement("microsoft", "exchange_online", "MC1", "Another", None, None, 0.0),
        )
    )
    console = Console(width=120)
    with console.capture() as captured:
        console.print(inspection_text(found, (), load()))
    assert "announced MC786329: SMTP AUTH (to act by 2027-01-01, changed 2026-01-27)" in captured.get()
    assert "announced MC1: Another\n" in captured.get()
    first, second = inspection_json("contoso", found, ())["announcements"]
    assert (first["id"], first["act_by"], second["changed_at"]) == ("MC786329", "2027-01-01T00:00:00Z", None)
