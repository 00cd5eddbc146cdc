"""What a receiver authenticated, where it says so in several fields, and who else writes such fields."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpcheck.mail.authentication_results import (
    Result,
    authserv_ids,
    read_authentication,
    receiver_id,
    receiver_part,
    same_domain,
)

MX = "mx.example"
OWN = ("Received", "from out.sender.test (out.sender.test [192.0.2.9]) by mx.example (Postfix) with ESMTPS id 1")
FOREIGN = ("Received", "from client.sender.test by out.sender.test with ESMTPSA id 2")
REINJECTED = ("Received", "from localhost (localhost [127.0.0.1]) by mx.example (Postfix) with ESMTP id 3")


def results(value: str) -> tuple[str, str]:
    return ("Authentication-Results", value)


def found(*fields: tuple[str, str], believed: str | None = MX) -> dict[str, str]:
    return {result.method: result.result for result in read_authentication(fields, believed).results}


def test_the_whole_run_of_the_believed_server_counts() -> None:
    run = (
        *(OWN, results("mx.example; dkim=pass header.d=sender.test"), ("DMARC-Filter", "OpenDMARC Filter")),
        *(results("mx.example; dmarc=none (p=none)"), results("mx.example; spf=softfail smtp.mailfrom=a@sender.test")),
    )
    assert found(*run, FOREIGN) == {"dkim": "pass", "dmarc": "none", "spf": "softfail"}


def test_what_is_below_the_next_received_existed_before() -> None:
    forged = results("mx.example; dkim=pass; dmarc=pass")
    assert found(OWN, results("mx.example; spf=fail"), FOREIGN, forged) == {"spf": "fail"}
    assert found(results("mx.example; spf=fail"), OWN, forged) == {"spf": "fail"}


def test_a_server_that_gives_the_message_back_to_itself_does_not_end_the_run() -> None:
    above, below = results("mx.example; dkim=fail"), results("mx.example; spf=pass; dkim=pass")
    assert found(above, REINJECTED, below, FOREIGN) == {"dkim": "fail", "spf": "pass"}
    assert found(REINJECTED, below, FOREIGN) == {"spf": "pass", "dkim": "pass"}
    of_somebody = ("Received", "from localhost (localhost [127.0.0.1]) by out.sender.test with ESMTP id 4")
    assert found(above, of_somebody, below) == {"dkim": "fail"}


def test_any_signature_that_passes_counts_but_no_other_method_becomes_better() -> None:
    fields = (results("mx.example; dkim=fail; dmarc=fail; spf=none"), results("mx.example; dkim=pass; dmarc=pass"))
    said = read_authentication(fields, MX)
    assert found(*fields) == {"dkim": "pass", "dmarc": "fail", "spf": "none"}
    assert said.contradictions == ("dmarc is fail and pass by the same server",)


def test_words_that_no_standard_knows_come_as_they_are() -> None:
    value = (
        "spf=pass (sender IP is 192.0.2.1) smtp.mailfrom=sender.test; dkim=none (message not signed) header.d=none;"
        "dmarc=bestguesspass action=none header.from=sender.test;compauth=fail reason=001"
    )
    said = read_authentication((results(value),), "")
    assert (said.result("dmarc"), said.result("compauth"), said.detail("compauth")) == (
        *("bestguesspass", "fail"),
        "reason=001",
    )
    assert said.results[0] == Result("spf", "pass", "smtp.mailfrom=sender.test")
    older = "spf=fail smtp.mailfrom=sender.test; receiver.example; dkim=pass header.d=x"
    assert found(results(older), believed="") == {"spf": "fail", "dkim": "pass"}
    assert found(results("mx.example; dara=pass; spf=pass")) == {"dara": "pass", "spf": "pass"}


def test_received_spf_fills_in_only_within_the_run() -> None:
    spf = ("Received-SPF", "softfail (mx.example: domain of a@sender.test) client-ip=192.0.2.9")
    assert found(OWN, spf, results("mx.example; dkim=pass"), FOREIGN) == {"dkim": "pass", "spf": "softfail"}
    assert found(OWN, spf, results("mx.example; spf=pass"), FOREIGN) == {"spf": "pass"}
    assert found(spf, OWN, results("mx.example; dkim=pass"), FOREIGN) == {"dkim": "pass"}
    assert found(OWN, results("mx.example; dkim=pass"), spf, FOREIGN) == {"dkim": "pass"}
    assert found(OWN, spf, FOREIGN) == {}


def test_nobody_is_believed_without_a_name() -> None:
    assert found(results("mx.example; spf=pass"), believed=None) == {}
    assert receiver_part((results("mx.example; spf=pass"),), None) == 0


def test_the_servers_that_claim_to_have_looked() -> None:
    fields = (
        results("mx.example 1; spf=pass"),
        results("spf=pass"),
        results("other.test; none"),
        results("mx.example; none"),
    )
    assert authserv_ids(fields) == ("mx.example", "", "other.test")


AR, RECEIVED = "Authentication-Results", "Received"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ([(AR, "mx.example.org; spf=pass"), (RECEIVED, "by mail.example.net")], "mx.example.org"),
        ([(AR, "spf=pass"), (RECEIVED, "by x.prod.outlook.com")], ""),
        ([(RECEIVED, "from a by mail.example.org"), (AR, "mx.example.org; x=y")], "mx.example.org"),
        ([(RECEIVED, "from a by mx.example.org"), (AR, "relay.example.net; spf=pass")], None),
        ([(RECEIVED, "from a by mx.example.org"), (AR, "spf=pass")], None),
        ([(RECEIVED, "from a by mx.example.org")], None),
        ([("Subject", "x"), (AR.lower(), "mx.example.org; none")], "mx.example.org"),
    ],
)
def test_the_name_that_the_receiver_seems_to_use(fields: list[tuple[str, str]], expected: str | None) -> None:
    assert receiver_id(fields) == expected


def test_what_only_the_receiver_can_have_written() -> None:
    spam = ("X-Spam-Status", "Yes")
    assert receiver_part((OWN, spam, results("mx.example; dkim=pass"), spam, FOREIGN), MX) == 3
    assert receiver_part((spam, OWN, spam, FOREIGN), MX) == 1
    assert receiver_part((spam, FOREIGN), MX) == 0


def test_hosts_of_one_domain() -> None:
    assert same_domain("mx1.example.org", "Example.org.")
    assert not same_domain("mx1.example.org", "example.net")
    assert not same_domain("org", "example.org")


@given(
    st.lists(
        st.tuples(st.sampled_from(["Received", "Authentication-Results", "Received-SPF"]), st.text()), max_size=20
    ),
    st.text(),
)
def test_nothing_raises(fields: list[tuple[str, str]], believed: str) -> None:
    said = read_authentication(fields, believed)
    assert len({result.method for result in said.results}) == len(said.results)
    authserv_ids(fields)
    assert 0 <= receiver_part(fields, believed) <= len(fields)


OF_DEBIAN = [
    (AR, "mx.example.test; dmarc=pass (p=reject dis=none) header.from=sender.test"),
    (
        AR,
        (
            "mx.example.test; dkim=pass (2048-bit key) header.d=sender.test header.i=@sender.test header.a=rsa-sha256"
            " header.s=s1 header.b=ivFgnrHU; dkim-atps=neutral"
        ),
    ),
    (
        AR,
        (
            "mx.example.test; spf=pass (sender SPF authorized) smtp.mailfrom=sender.test (client-ip=127.0.0.2;"
            " helo=out.sender.test; envelope-from=anna@sender.test; receiver=example.test)"
        ),
    ),
    (RECEIVED, "from out.sender.test (unknown [127.0.0.2]) by mx.example.test (Postfix) with ESMTP id 7144F246A34"),
    (RECEIVED, "from [127.0.0.1] (unknown [127.0.0.1]) by out.sender.test (Postfix) with ESMTP id 062F62468D4"),
]
"""As OpenDMARC 1.4, OpenDKIM 2.11 and policyd-spf of Debian 12 write them; tests/real/test_receiver.py runs them."""


def test_the_three_fields_of_debians_receiver() -> None:
    found = read_authentication(OF_DEBIAN, "mx.example.test")
    assert dict(found.pairs) == {"dmarc": "pass", "dkim": "pass", "dkim-atps": "neutral", "spf": "pass"}
    assert receiver_id(OF_DEBIAN) == "mx.example.test"


def test_no_more_than_so_many_fields_are_read() -> None:
    """Each may be long; a receiver's own are among the first."""
    of_others = [(AR, f"relay{number}.example.net; spf=pass") for number in range(50)]
    own = (AR, "mx.example.org; spf=fail")
    assert read_authentication([*of_others[:10], own], "mx.example.org").pairs == (("spf", "fail"),)
    assert read_authentication([*of_others, own], "mx.example.org").pairs == ()
