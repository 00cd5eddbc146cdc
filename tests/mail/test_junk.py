"""Why a message is in Junk: what each filter writes, and whom to believe."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpcheck.mail.junk import Why, verdicts

MX = "mx.example"
OWN = ("Received", "from out.sender.test by mx.example (Postfix) with ESMTPS id 1")
FOREIGN = ("Received", "from client.sender.test by out.sender.test with ESMTPSA id 2")
RESULTS = ("Authentication-Results", "mx.example; dkim=pass")


def report(value: str, suffix: str = "") -> tuple[str, str]:
    return (
        f"X-Forefront-Antispam-Report{suffix}",
        f"CIP:192.0.2.9;CTRY:DE;LANG:en;{value};H:out.sender.test;SFS:(1)(2);",
    )


def delivery(value: str) -> tuple[str, str]:
    return (
        "X-Microsoft-Antispam-Mailbox-Delivery",
        f"ucf:0;jmr:0;auth:0;{value};ENG:(5062000261)(750132);RF:JunkEmail;",
    )


INBOUND = "IPV:NLI;DIR:INB"
JUNK = delivery("dest:J;OFR:SpamFilterAuthJ")


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ([report(f"SCL:5;SFV:SPM;CAT:SPM;{INBOUND}")], Why.FILTER),
        ([report(f"SCL:5;SFV:SPM;CAT:SPM;{INBOUND}"), JUNK], Why.FILTER),
        ([report(f"SCL:9;SFV:SPM;CAT:HPHISH;{INBOUND}")], Why.PHISHING),
        ([report(f"SCL:5;SFV:SPM;CAT:SPOOF;{INBOUND}")], Why.SPOOFING),
        ([report(f"SCL:5;SFV:SPM;SFTY:9.22;{INBOUND}")], Why.SPOOFING),
        ([report(f"SCL:5;SFV:SPM;CAT:DIMP;SFTY:9.19;{INBOUND}")], Why.IMPERSONATION),
        ([report(f"SCL:6;SFV:SPM;SRV:BULK;{INBOUND}")], Why.BULK),
        ([report(f"SCL:6;SRV:BULK;CAT:BULK;SFV:SPM;{INBOUND}")], Why.BULK),
        ([report(f"SCL:9;CAT:MALW;{INBOUND}")], Why.MALWARE),
        ([report(f"SCL:6;SFV:SKS;CAT:NONE;{INBOUND}"), JUNK], Why.MAIL_FLOW_RULE),
        ([report(f"SCL:6;SFV:SKB;CAT:NONE;{INBOUND}"), JUNK], Why.BLOCKED_BY_POLICY),
        ([report(f"SCL:1;SFV:BLK;CAT:NONE;{INBOUND}")], Why.BLOCKED_BY_USER),
        ([report(f"SCL:1;SFV:NSPM;CAT:NONE;{INBOUND}"), delivery("dest:C;OFR:CustomRules")], Why.INBOX_RULE),
        ([report(f"SCL:1;SFV:NSPM;CAT:NONE;{INBOUND}"), delivery("dest:J;OFR:CustomRules")], Why.INBOX_RULE),
        ([report(f"SCL:1;SFV:NSPM;CAT:NONE;{INBOUND}"), delivery("dest:I;OFR:SpamFilterPass")], Why.NOTHING),
        ([report(f"SCL:5;SFV:SPM;CAT:SPM;{INBOUND}"), delivery("dest:I;OFR:SpamFilterPass")], Why.NOTHING),
        ([report("SCL:-1;SFV:SKI;CAT:NONE;DIR:INT")], Why.NOTHING),
        ([report(f"SCL:-1;SFV:SKA;CAT:NONE;{INBOUND}")], Why.NOTHING),
        ([("X-Forefront-Antispam-Report", "CIP:192.0.2.9; CTRY:DE; SCL:5; SFV:SPM; DIR:INB;")], Why.FILTER),
        ([JUNK], Why.FILTER),
    ],
)
def test_exchange_online(fields: list[tuple[str, str]], why: Why) -> None:
    (verdict,) = verdicts(fields, authserv_id="", exchange_online=True)
    assert (verdict.why, verdict.junk, verdict.believed) == (why, why is not Why.NOTHING, True)
    (verdict,) = verdicts(fields, authserv_id=MX, exchange_online=False)
    assert not verdict.believed


def test_the_verdict_cites_what_it_is_made_of() -> None:
    fields = [
        report(f"SCL:5;SFV:SPM;CAT:SPOOF;SFTY:9.22;{INBOUND}"),
        *(("X-Microsoft-Antispam", "BCL:7;ARA:1444"), JUNK),
        ("Authentication-Results", "spf=fail smtp.mailfrom=x;dkim=none;dmarc=fail;compauth=fail reason=001"),
    ]
    (verdict,) = verdicts(fields, authserv_id="", exchange_online=True)
    assert str(verdict) == (
        "Exchange Online: the filter rated its sender as spoofed (SCL:5 SFV:SPM CAT:SPOOF SFTY:9.22 DIR:INB BCL:7 "
        "dest:J OFR:SpamFilterAuthJ compauth=fail reason=001)"
    )


@pytest.mark.parametrize(
    "field",
    [
        report("SCL:5;SFV:SPM;CAT:OSPM;DIR:OUT;SFP:1501"),
        report("SCL:5;SFV:SPM;DIR:OUT;SFP:1501"),
        report("SCL:5;SFV:SPM;CAT:OSPM;DIR:OUT;SFP:1501", "-Untrusted"),
    ],
)
@pytest.mark.parametrize("exchange_online", [True, False])
def test_what_microsoft_thought_when_it_left_is_no_verdict_of_the_receiver(
    field: tuple[str, str], exchange_online: bool
) -> None:
    (verdict,) = verdicts([field], authserv_id=None, exchange_online=exchange_online)
    assert (verdict.why, verdict.junk) == (Why.OUTBOUND, False)


def test_a_normal_outbound_stamp_says_nothing() -> None:
    assert verdicts([report("SCL:1;SFV:NSPM;CAT:NONE;DIR:OUT;SFP:1102")], authserv_id=None, exchange_online=False) == ()


SPAMASSASSIN = ("X-Spam-Status", "Yes, score=7.3 required=5.0 tests=DKIM_INVALID,SPF_FAIL autolearn=no version=4.0.0")
RSPAMD = ("X-Spamd-Result", "default: True [15.81 / 15.00]; DMARC_POLICY_REJECT(2.00)[sender.test : No valid SPF];")
BARRACUDA = ("X-Barracuda-Spam-Status", "Yes, SCORE=9.02 using global scores of TAG_LEVEL=3.5 KILL_LEVEL=9.0 tests=X")
PROOFPOINT = ("X-Proofpoint-Spam-Details", "rule=inbound_spam policy=default score=99 spamscore=99 classifier=spam")


@pytest.mark.parametrize(
    ("field", "said"),
    [
        (SPAMASSASSIN, "X-Spam-Status: Yes score=7.3 required=5.0 tests=DKIM_INVALID,SPF_FAIL"),
        (("X-Spam-Status", "Yes, hits=7.3 required=5.0 tests=A"), "X-Spam-Status: Yes score=7.3 required=5.0 tests=A"),
        (("X-Spam-Status", "Yes, score=9 tag=-1 tag2=6.31 kill=6.31 tests=[A=1, B=-0.1]"), "X-Spam-Status: Yes"),
        (RSPAMD, "X-Spamd-Result: True 15.81 / 15.00"),
        (("X-Spamd-Result", "default: False [8.10 / 15.00]; A(8.00)[]"), "X-Spamd-Result: False 8.10 / 15.00"),
        (("X-Rspamd-Action", "add header"), "X-Rspamd-Action: add header"),
        (("X-Spam", "Yes"), "the flag of spam is yes"),
        (("X-Spam-Flag", "YES"), "the flag of spam is yes"),
        (BARRACUDA, "X-Barracuda-Spam-Status: Yes score=9.02"),
        (PROOFPOINT, "rule=inbound_spam policy=default score=99 spamscore=99"),
    ],
)
def test_other_filters_are_believed_only_where_the_receiver_wrote(field: tuple[str, str], said: str) -> None:
    for fields in ([field, OWN, FOREIGN], [OWN, field, RESULTS, FOREIGN]):
        (verdict,) = verdicts(fields, authserv_id=MX, exchange_online=False)
        assert (verdict.junk, verdict.believed, verdict.why) == (True, True, Why.FILTER)
        assert verdict.said.startswith(said)
    for fields in ([OWN, RESULTS, FOREIGN, field], [OWN, RESULTS, field, FOREIGN]):
        (verdict,) = verdicts(fields, authserv_id=MX, exchange_online=False)
        assert (verdict.junk, verdict.believed) == (True, False)
    (verdict,) = verdicts([field, OWN], authserv_id=None, exchange_online=False)
    assert not verdict.believed


@pytest.mark.parametrize(
    "field",
    [
        ("X-Spam-Status", "No, score=-2.1 required=5.0 tests=DKIM_VALID autolearn=ham"),
        ("X-Spamd-Result", "default: False [0.81 / 15.00]; SYM(1.50)[opt,opt]"),
        *(("X-Rspamd-Action", "no action"), ("X-Barracuda-Spam-Status", "No, SCORE=-2.02 using global scores")),
        ("X-Proofpoint-Spam-Details", "rule=notspam policy=default score=0 classifier=spam"),
        ("X-Mimecast-Spam-Score", "0"),
    ],
)
def test_a_clean_message_is_no_junk(field: tuple[str, str]) -> None:
    (verdict,) = verdicts([field, OWN], authserv_id=MX, exchange_online=False)
    assert (verdict.junk, verdict.why) == (False, Why.NOTHING)


def test_the_gateway_of_the_sender_is_not_the_receiver() -> None:
    fields = [("X-Proofpoint-Spam-Details", "rule=outbound_spam policy=outbound score=99 classifier=spam"), OWN]
    assert verdicts(fields, authserv_id=MX, exchange_online=False) == ()


def test_a_flag_says_nothing_beside_the_filter_that_set_it() -> None:
    flag = ("X-Spam-Flag", "YES")
    (verdict,) = verdicts([flag, SPAMASSASSIN, OWN], authserv_id=MX, exchange_online=False)
    assert verdict.filter == "SpamAssassin"
    found = verdicts([flag, OWN, SPAMASSASSIN], authserv_id=MX, exchange_online=False)
    assert [(verdict.filter, verdict.believed) for verdict in found] == [
        ("a spam filter", True),
        ("SpamAssassin", False),
    ]
    found = verdicts(
        [flag, ("X-Spamd-Result", "default: False [0.10 / 15.00]"), OWN], authserv_id=MX, exchange_online=False
    )
    assert [verdict.junk for verdict in found] == [True, False]


def test_a_believed_verdict_comes_before_a_hint() -> None:
    found = verdicts([OWN, RSPAMD, RESULTS, FOREIGN, SPAMASSASSIN], authserv_id=MX, exchange_online=False)
    assert [(verdict.filter, verdict.believed) for verdict in found] == [("rspamd", True), ("SpamAssassin", False)]


_NAMES = st.sampled_from([
    "X-Forefront-Antispam-Report", "X-Microsoft-Antispam", "X-Microsoft-Antispam-Mailbox-Delivery", "X-Spam-Status",
    "X-Spamd-Result", "X-Rspamd-Action", "X-Proofpoint-Spam-Details", "X-Barracuda-Spam-Status",
    "X-Mimecast-Spam-Score",
])  # fmt: skip


@given(st.lists(st.tuples(_NAMES, st.text()), max_size=20), st.booleans())
def test_nothing_raises(fields: list[tuple[str, str]], exchange_online: bool) -> None:
    for verdict in verdicts(fields, authserv_id="x", exchange_online=exchange_online):
        assert len(str(verdict)) < 400
