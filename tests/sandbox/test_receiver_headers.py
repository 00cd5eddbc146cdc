"""What the sandbox's receivers write is read as what its scenarios say; the email library sees whole headers in it."""

from dataclasses import replace
from email import message_from_bytes
from email.policy import compat32

import pytest

from smtpcheck.mail.authentication_results import read_authentication, receiver_id
from smtpcheck.mail.headers import exchange_seconds, hops, read_fields
from smtpcheck.mail.junk import Why, verdicts
from smtpcheck.sandbox.bounces import Style
from smtpcheck.sandbox.mail_store import Delivery, MailStore
from smtpcheck.sandbox.scenario import Scenario
from smtpcheck.sandbox.scenarios import SCENARIOS

NOW = 1_800_000_000.0
CONTENT = b"Subject: x\r\nFrom: anna@contoso.example\r\n\r\nHello.\r\n"


def delivered(delivery: Delivery) -> tuple[tuple[str, str], ...]:
    """Return the header of a message that went this way."""
    store = MailStore(lambda: NOW)
    store.send("anna@contoso.example", ["probe@contoso.example"], CONTENT, delivery)
    (stored,) = store.box("probe@contoso.example").folders[delivery.folder].messages
    assert message_from_bytes(stored.content, policy=compat32).get_payload() == "Hello.\r\n"
    return read_fields(stored.content.partition(b"\r\n\r\n")[0])


def scenario(name: str) -> Scenario:
    return next(each for each in SCENARIOS if each.name == name)


@pytest.mark.parametrize("style", Style)
def test_each_receiver_writes_two_hops_that_can_be_read(style: Style) -> None:
    fields = delivered(Delivery(style=style))
    assert [hop.at for hop in hops(fields)] == [NOW, NOW]
    assert all(hop.by for hop in hops(fields))
    assert (exchange_seconds(fields) == 0.0) is (style is Style.EXCHANGE)


@pytest.mark.parametrize(
    ("name", "server", "exchange_online", "why", "believed"),
    [
        ("mail-in-junk", "", True, Why.FILTER, True),
        ("mail-in-junk-by-rule", "", True, Why.INBOX_RULE, True),
        ("mail-in-junk-spamassassin", "mx.contoso.example", False, Why.FILTER, True),
        ("mail-rated-outbound-spam", "mx.google.com", False, Why.OUTBOUND, False),
    ],
)
def test_verdicts_are_those_of_the_scenarios(
    name: str, server: str, exchange_online: bool, why: Why, believed: bool
) -> None:
    fields = delivered(replace(scenario(name).delivery, delay=0.0))
    assert receiver_id(fields) == server
    found = verdicts(fields, authserv_id=server, exchange_online=exchange_online)
    assert {(verdict.why, verdict.believed) for verdict in found} == {(why, believed)}


def test_a_postfix_writes_a_field_for_each_of_its_filters() -> None:
    fields = delivered(replace(scenario("mail-in-junk-spamassassin").delivery, delay=0.0))
    found = read_authentication(fields, "mx.contoso.example")
    assert dict(found.pairs) == {"dmarc": "fail", "dkim": "fail", "spf": "softfail"}
