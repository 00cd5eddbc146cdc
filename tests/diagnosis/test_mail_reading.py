"""A pasted bounce or header becomes an observation, and the observation a cause."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from smtpcheck.diagnosis.catalogue import Catalogue, load
from smtpcheck.diagnosis.explain import describe, explain
from smtpcheck.diagnosis.mail_reading import HEADER_FACTS, read_mail
from smtpcheck.diagnosis.observation import Observation
from smtpcheck.model.cause import Cause

SAMPLES = Path(__file__).parent.parent / "bounces"
WRITTEN: list[dict[str, Any]] = yaml.safe_load((SAMPLES / "written.yaml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load()


def read(text: str) -> Observation:
    seen = read_mail(text)
    assert seen is not None
    return seen


def sample(name: str) -> Observation:
    return read((SAMPLES / f"{name}.eml").read_text(encoding="utf-8", errors="replace"))


def test_a_bounce_is_seen_by_its_fields_and_nothing_of_the_original() -> None:
    seen = sample("rhost-google-03")
    assert (seen.phase, seen.recipient) == ("data", "kijitora@google.example.com")
    assert seen.sender == "kijitora@google.example.com"
    assert seen.replies[0].startswith("550 5.7.26 The MAIL FROM domain")
    assert seen.exception.splitlines() == [
        "Delivery status notification (failed)",
        "Reporting-MTA: dns; mail4.example.com",
        "Final-Recipient: rfc822; kijitora@google.example.com",
        "Action: failed",
        "Status: 5.7.26",
        "Remote-MTA: dns; gmail-smtp-in.l.google.com",
    ]


def test_a_wrapped_reply_is_seen_after_the_one_around_it() -> None:
    assert sample("lhost-office365-04").replies == (
        "550 5.1.351 Remote server returned unknown recipient or mailbox unavailable -> 550 : User unknown",
        "550 : User unknown",
    )


def test_a_reason_in_words_is_seen_and_a_notice_without_one_as_it_is() -> None:
    assert "Diagnostic-Code: The recipient server did not accept our requests to connect." in (
        sample("lhost-gmail-15").exception
    )
    delayed = sample("lhost-outlook-06").exception
    assert "Action: delayed\nStatus: 4.4.7" in delayed
    assert "Delivery to the following recipients has been delayed." in delayed


@pytest.mark.parametrize(
    "text",
    [
        "535 5.7.3 Authentication unsuccessful",
        "550 5.7.60 SMTP; Client does not have permissions to send as this sender\nReceived: from a by b",
        "Nov 27 10:00:00 mx postfix/smtp[1]: 4XYZ: to=<a@example.net>, status=bounced (host said: 550 no)",
        "From: anna@example.org\nSubject: hello\n\nHow are you?",
        "",
    ],
)
def test_any_other_text_is_left_to_others(text: str) -> None:
    assert read_mail(text) is None


# ---------------------------------------------------------------------------------------------------------------------
# Headers

EXCHANGE = """\
Received: from AM0PR01MB0001.eurprd01.prod.exchangelabs.com (2603:10a6::1) by
 DB9PR01MB0002.eurprd01.prod.exchangelabs.com with HTTPS; Fri, 27 Nov 2026 10:00:09 +0000
Received: from out.sender.test (192.0.2.9) by
 DB5EUR01FT0001.mail.protection.outlook.com (10.152.0.1) with Microsoft SMTP Server; Fri, 27 Nov 2026 10:00:05 +0000
Authentication-Results: spf=fail (sender IP is 192.0.2.9) smtp.mailfrom=sender.test;
 dkim=none (message not signed) header.d=none;dmarc=fail action=quarantine
 header.from=sender.test;compauth=fail reason=000
X-Forefront-Antispam-Report: CIP:192.0.2.9;CTRY:DE;LANG:en;SCL:5;SRV:;SFV:SPM;H:out.sender.test;CAT:SPOOF;DIR:INB;
X-Microsoft-Antispam-Mailbox-Delivery: ucf:0;jmr:0;auth:0;dest:J;OFR:SpamFilterAuthJ;ENG:(5062000261);RF:JunkEmail;
From: Probe <probe@sender.test>
To: inbox@receiver.example
Subject: hello
"""
GMAIL = """\
Delivered-To: inbox@receiver.example
Received: by 2002:a05:6402:1 with SMTP id x1; Fri, 27 Nov 2026 02:00:09 -0800 (PST)
Received: from out.sender.test (out.sender.test. [192.0.2.9])
        by mx.google.com with ESMTPS id a1; Fri, 27 Nov 2026 02:00:08 -0800 (PST)
Received-SPF: softfail (google.com: domain of transitioning probe@sender.test does not designate 192.0.2.9)
Authentication-Results: mx.google.com;
       spf=softfail (google.com: domain of transitioning probe@sender.test) smtp.mailfrom=probe@sender.test;
       dmarc=fail (p=NONE sp=NONE dis=NONE) header.from=sender.test
From: probe@sender.test
"""
CLEAN = """\
Received: from out.sender.test (out.sender.test [192.0.2.9])
 by mx.receiver.example (Postfix) with ESMTPS id 1; Fri, 27 Nov 2026 10:00:08 +0000
Authentication-Results: mx.receiver.example; dkim=pass header.d=sender.test
Authentication-Results: mx.receiver.example; dmarc=pass (p=none) header.from=sender.test
Authentication-Results: mx.receiver.example; spf=pass smtp.mailfrom=probe@sender.test
X-Spamd-Result: default: False [0.81 / 15.00]
"""
SPAM = "X-Spam-Status: Yes, score=7.3 required=5.0 tests=URIBL"
JUNK = f"{SPAM}\n{CLEAN}"
SLOW = """\
Received: from out.sender.test by mx.receiver.example; Fri, 27 Nov 2026 10:00:08 +0000
Received: from client.sender.test by out.sender.test with ESMTPSA; Fri, 27 Nov 2026 09:17:00 +0000
"""
OUTBOUND = CLEAN + "X-Forefront-Antispam-Report: CIP:255.255.255.255;SCL:5;SFV:SPM;CAT:OSPM;DIR:OUT;SFP:1501;\n"
BY_RULE = EXCHANGE.replace("dest:J;OFR:SpamFilterAuthJ", "dest:C;OFR:CustomRules").replace("fail", "pass")
FOREIGN = """\
Received: from out.sender.test by mx.receiver.example; Fri, 27 Nov 2026 10:00:08 +0000
Authentication-Results: mx.other.test; dmarc=fail header.from=sender.test
"""
SIMPLE = "Authentication-Results: mx.receiver.example;"
TEXTS: list[tuple[str, set[str]]] = [
    (EXCHANGE, {"rated_junk", "sender_unauthenticated"}),
    (GMAIL, {"sender_unauthenticated"}),
    (CLEAN, set()),
    (JUNK, {"rated_junk"}),
    (CLEAN + SPAM, {"rated_junk_claimed"}),
    (SLOW, {"slow_hop"}),
    (OUTBOUND, {"rated_outbound_spam"}),
    (BY_RULE, {"moved_by_rule"}),
    (FOREIGN, {"sender_unauthenticated_claimed"}),
    (f"{SIMPLE} dkim=fail (bad signature); spf=fail", {"sender_unauthenticated"}),
    (f"{SIMPLE} dkim=none; spf=pass; dmarc=none", set()),
    ("Received-SPF: softfail (mx: domain of a@b does not designate 192.0.2.1)", {"sender_unauthenticated_claimed"}),
]


@pytest.mark.parametrize(("text", "facts"), TEXTS)
def test_what_a_header_shows(text: str, facts: set[str]) -> None:
    indented = "\n".join(f"    {line}" for line in text.splitlines())
    for pasted in (text, f"The headers are:\n\n{text}\n\nHello,", indented):
        seen = read(pasted)
        assert set(seen.message_facts) == facts
        assert facts <= HEADER_FACTS


def test_the_sentences_say_who_found_what() -> None:
    facts = read(EXCHANGE).message_facts
    assert facts["sender_unauthenticated"] == "the receiver reports spf=fail dkim=none dmarc=fail compauth=fail"
    assert facts["rated_junk"].startswith(
        "Exchange Online: the filter rated its sender as spoofed (SCL:5 SFV:SPM CAT:S"
    )
    assert read(SLOW).message_facts["slow_hop"] == "43 minutes passed between out.sender.test and mx.receiver.example"
    assert read(EXCHANGE).sender == "probe@sender.test"


# ---------------------------------------------------------------------------------------------------------------------
# Causes


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("lhost-exchange2007-02", Cause.MAILBOX_FULL),
        ("lhost-exchange2007-04", Cause.RECIPIENT_RESTRICTED),
        ("lhost-exchange2007-05", Cause.DESTINATION_UNREACHABLE),
        ("lhost-gmail-15", Cause.DESTINATION_UNREACHABLE),
        ("lhost-gmail-17", Cause.DESTINATION_UNREACHABLE),
        ("lhost-googleworkspace-01", Cause.MECHANISM_NOT_OFFERED),
        ("lhost-office365-04", Cause.RECIPIENT_REJECTED),
        ("lhost-office365-08", Cause.DESTINATION_UNREACHABLE),
        ("lhost-office365-13", Cause.RECIPIENT_REJECTED),
        ("lhost-outlook-06", Cause.DESTINATION_UNREACHABLE),
        ("rhost-google-01", Cause.RECIPIENT_REJECTED),
        ("rhost-google-03", Cause.SENDER_DOMAIN_UNAUTHENTICATED),
        ("rhost-microsoft-04", Cause.SENDER_DOMAIN_UNAUTHENTICATED),
    ],
)
def test_the_cause_of_a_real_bounce(name: str, cause: Cause, catalogue: Catalogue) -> None:
    best = explain(sample(name), catalogue)[0]
    assert best.cause is cause
    assert best.certainty >= 0.8


@pytest.mark.parametrize(
    ("text", "causes"),
    [
        (EXCHANGE, {Cause.SENDER_DOMAIN_UNAUTHENTICATED, Cause.MAIL_IN_JUNK}),
        (GMAIL, {Cause.SENDER_DOMAIN_UNAUTHENTICATED}),
        *((JUNK, {Cause.MAIL_IN_JUNK}), (SLOW, {Cause.MAIL_LATE}), (CLEAN, {Cause.UNKNOWN})),
    ],
)
def test_the_cause_is_that_of_the_fate_of_the_mail(text: str, causes: set[Cause], catalogue: Catalogue) -> None:
    seen = read(text)
    findings = [finding for finding in explain(seen, catalogue) if finding.certainty >= 0.6 or finding.rule == "none"]
    assert {finding.cause for finding in findings} == causes
    for finding in findings[:1]:
        assert not seen.message_facts or set(seen.message_facts.values()) & set(finding.evidence)


@pytest.mark.parametrize("case", WRITTEN, ids=lambda case: str(case["id"]))
def test_the_cause_of_a_bounce_of_any_server(case: dict[str, Any], catalogue: Catalogue) -> None:
    fact = {"failed": "bounced", "delayed": "delivery_delayed"}[case["action"]]
    seen = read(case["text"])
    assert set(seen.message_facts) == {fact}
    assert explain(seen, catalogue)[0].cause in case["causes"]


@pytest.mark.parametrize(
    ("header", "cause", "step"),
    [
        (OUTBOUND, Cause.RATED_OUTBOUND_SPAM, "Get-HostedOutboundSpamFilterPolicy"),
        (BY_RULE.replace("action=quarantine", "action=none"), Cause.MAIL_IN_JUNK, "Get-InboxRule"),
    ],
)
def test_the_fix_is_that_of_the_verdict(catalogue: Catalogue, header: str, cause: Cause, step: str) -> None:
    seen = read_mail(header)
    assert seen
    best = explain(seen, catalogue)[0]
    assert best.cause is cause
    assert any(step in line for line in describe(best, catalogue).remedy)
    assert not any("Get-MailboxJunkEmailConfiguration" in line for line in describe(best, catalogue).remedy)
