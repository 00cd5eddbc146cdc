"""What a record says, and that whatever is not of its form is refused by line."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpcheck.setup.record import KINDS, parse_record

GUID = "0f0f0f0f-1111-2222-3333-444444444444"
SCRIPT = {
    "change": "script",
    "state": "before",
    "tenant": "contoso.com",
    "tenant_id": GUID,
    "graph": "Global",
    "exchange": "O365Default",
}


def record_of(*lines: object) -> str:
    return "\n".join(json.dumps(line) for line in lines)


def step(change: str, state: str = "before", **values: object) -> dict[str, object]:
    return {"change": change, "state": state, **values}


def test_what_was_there_before_the_first_of_several_runs_counts() -> None:
    auth = [step("smtp_auth", mailbox=mailbox, disabled=value) for mailbox, value in (("a@b.c", None), ("A@B.C", True))]
    record = parse_record(record_of(SCRIPT, auth[0], SCRIPT, auth[1]))
    assert [(each.kind, dict(each.values)) for each in record.changes] == [
        ("smtp_auth", {"mailbox": "a@b.c", "disabled": None})
    ]


def test_changes_are_taken_back_in_their_own_order_the_last_of_a_kind_first() -> None:
    ids = {"object_id": GUID, "client_id": GUID}
    record = parse_record(
        record_of(
            SCRIPT,
            step("application", "done", **ids),
            step("registration", **ids),
            step("group", "done", group="g", guid=GUID),
            step("group_member", group="g", mailbox="a@b.c"),
            step("group_member", group="g", mailbox="b@b.c"),
            step("role_assignment", name="r", object_id=GUID),
        )
    )
    assert [(each.kind, each.values.get("mailbox")) for each in record.changes] == [
        ("role_assignment", None),
        ("group_member", "b@b.c"),
        ("group_member", "a@b.c"),
        ("group", None),
        ("registration", None),
        ("application", None),
    ]


def test_a_step_whose_end_is_not_known_is_named() -> None:
    record = parse_record(record_of(SCRIPT, step("application", display_name="smtpcheck")))
    assert (record.changes, record.unfinished) == ((), ("application",))
    done = step("application", "done", object_id=GUID, client_id=GUID)
    assert parse_record(record_of(SCRIPT, step("application"), done)).unfinished == ()


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ((), "does not begin with the line of a script"),
        ((step("smtp_auth", mailbox="a", disabled=None),), "does not begin with the line of a script"),
        ((SCRIPT, []), "line 2 is not a line of a record: it is not an object"),
        ((SCRIPT, {"change": "smtp_auth"}), "line 2 is not a line of a record: it has no change and state"),
        ((SCRIPT, step("mailbox_deleted")), "'mailbox_deleted' is not a known change"),
        ((SCRIPT, step("smtp_auth", mailbox="a@b.c", disabled="$true")), "disabled is '$true'"),
        ((SCRIPT, step("smtp_auth", mailbox="a\nb", disabled=None)), "mailbox is 'a\\nb'"),
        ((SCRIPT, step("certificate", object_id="x", thumbprint="A" * 40)), "object_id is 'x'"),
        ((SCRIPT, step("consent", "done", principal_id=GUID, name="n", assignment_id="a b")), "assignment_id is 'a b'"),
        ((SCRIPT, {**SCRIPT, "tenant_id": GUID.replace("f", "e")}), "it has the changes of several tenants"),
        (({**SCRIPT, "graph": "'; rm"},), "graph is"),
    ],
)
def test_what_is_no_record_is_refused_by_its_line(lines: tuple[object, ...], problem: str) -> None:
    with pytest.raises(ValueError, match=r"line|record|tenants") as refused:
        parse_record(record_of(*lines))
    assert problem in str(refused.value)


@given(st.lists(st.dictionaries(st.sampled_from(["change", "state", "mailbox"]), st.text(max_size=9) | st.none())))
def test_whatever_is_in_a_record_is_a_record_or_a_value_error(lines: list[dict[str, str | None]]) -> None:
    try:
        record = parse_record(record_of(SCRIPT, *lines))
    except ValueError as error:
        assert re.match(r"line [0-9]+ is not a line of a record: |it has ", str(error))  # noqa: PT017
    else:
        assert {change.kind for change in record.changes} <= KINDS.keys()


def test_every_kind_has_a_state_and_forms_that_exist() -> None:
    for name, kind in KINDS.items():
        assert kind.state in {"before", "done"}
        assert set(kind.identity) <= set(kind.fields), name
