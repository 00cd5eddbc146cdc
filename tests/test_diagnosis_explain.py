"""Findings: their rank on real failures, on claims and on pasted text, and what never happens."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from smtpcheck.cause import Cause
from smtpcheck.diagnosis.catalogue import load
from smtpcheck.diagnosis.explain import as_json, explain
from smtpcheck.diagnosis.masking import mask
from smtpcheck.diagnosis.observation import Observation, from_case, from_text
from smtpcheck.model import Attempt, Fault, FaultKind

CATALOGUE = load()
JWT = "eyJhbGciOiJSUzI1NiJ9.eyJhdWQiOiJodHRwczovL2V4YW1wbGUifQ.c2lnbmF0dXJlc2lnbmF0dXJl"
REJECTED = "535 5.7.3 Authentication unsuccessful"
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)


def _causes(observation: Observation) -> list[Cause]:
    return [finding.cause for finding in explain(observation, CATALOGUE)]


def test_the_score_on_real_failures() -> None:
    """The thread's cause, or one that looks the same, comes first; the thread's own is among three."""
    cases: list[dict[str, Any]] = yaml.safe_load((Path(__file__).parent / "corpus/cases.yaml").read_text("utf-8"))[
        "cases"
    ]
    total, first, three = Counter[tuple[str, str]](), Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for case in cases:
        if case["basis"] == "inferred":
            continue
        key = (case["observed"]["phase"], case["provider"])
        causes = _causes(from_case(case))
        total[key] += 1
        first[key] += causes[0] in {case["cause"], *case["ambiguous_with"]}
        three[key] += case["cause"] in causes[:3]
    for key in sorted(total):
        print(f"{key[0]:8} {key[1]:10} {total[key]:3} first {first[key]:3} three {three[key]:3}")  # noqa: T201
    assert first.total() / total.total() >= 0.90
    assert three.total() / total.total() >= 0.95


@pytest.mark.parametrize(
    ("claims", "user", "cause"),
    [
        ({"aud": "https://graph.microsoft.com", "scp": "SMTP.Send"}, "a@x.org", Cause.WRONG_TOKEN_AUDIENCE),
        (
            {"aud": "https://outlook.office.com", "scp": "IMAP.AccessAsUser.All"},
            "a@x.org",
            Cause.MISSING_SMTP_PERMISSION,
        ),
        ({"aud": "https://outlook.office.com", "scp": "SMTP.Send", "upn": "b@x.org"}, "a@x.org", Cause.USER_MISMATCH),
        (
            {"aud": "https://outlook.office365.com", "appid": "1", "roles": ["SMTP.SendAsApp"]},
            "a@x.org",
            Cause.SERVICE_PRINCIPAL_NOT_REGISTERED,
        ),
    ],
)
def test_claims_decide_what_a_bare_refusal_means(claims: dict[str, object], user: str, cause: Cause) -> None:
    seen = Observation(provider="microsoft", phase="auth", claims=claims, sasl_user=user, replies=(REJECTED,))
    assert _causes(seen)[0] == cause


def test_missing_roles_are_a_hint_and_no_verdict() -> None:
    claims = {"aud": "https://outlook.office365.com", "appid": "1", "idtyp": "app"}
    found = explain(Observation(provider="microsoft", phase="auth", claims=claims, replies=(REJECTED,)), CATALOGUE)
    assert (found[0].cause, found[0].certainty < 0.8) == (Cause.MISSING_SMTP_PERMISSION, True)


@pytest.mark.parametrize(("family", "cause"), [(6, Cause.IPV6_UNREACHABLE), (4, Cause.PORT_BLOCKED)])
def test_a_connect_failure_is_judged_by_family(family: int, cause: Cause) -> None:
    tried = (Attempt("address", family, Fault(FaultKind.UNREACHABLE)),)
    assert _causes(Observation(phase="connect", fault="unreachable", port=587, attempts=tried))[0] == cause


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("AADSTS7000222", Cause.SECRET_EXPIRED),
        ('{"error":"invalid_client","error_codes":[7000215],"error_description":"x"}', Cause.SECRET_INVALID),
        (
            (
                "Traceback (most recent call last):\nsmtplib.SMTPAuthenticationError: (535, b'5.7.139 Authentication"
                " unsuccessful, SmtpClientAuthentication is disabled for the Tenant.')"
            ),
            Cause.SMTP_AUTH_DISABLED_TENANT,
        ),
        (
            "javax.mail.MessagingException: sun.security.validator.ValidatorException: PKIX path building failed",
            Cause.TLS_UNTRUSTED_CA,
        ),
        ("2026-01-02 10:00:00 S: 432 4.3.2 Concurrent connections limit exceeded.", Cause.THROTTLED_CONNECTIONS),
        ("nothing of the kind", Cause.UNKNOWN),
    ],
)
def test_pasted_text_is_understood(text: str, cause: Cause) -> None:
    assert _causes(from_text(text))[0] == cause


@pytest.mark.parametrize("secret", [JWT, "ya29.a0AfH6SMBabcdef", "EwBAAl3BAAUFFpUAo7J3Ve0bjLBWZWCclRC3EoAA", "Q" * 60])
def test_a_token_in_pasted_text_is_masked(secret: str) -> None:
    found = explain(from_text(f"{REJECTED} after auth=Bearer {secret} was sent"), CATALOGUE)
    assert secret not in str(as_json(found, CATALOGUE))


def test_a_named_secret_is_masked() -> None:
    assert mask("grant_type=x&client_secret=abc~123-456&scope=y") == "grant_type=x&client_secret=***&scope=y"


def test_a_value_with_shell_signs_is_not_put_into_a_command() -> None:
    seen = Observation(phase="auth", sasl_user="a'; Remove-Mailbox b", replies=("535 5.7.139 disabled for the Tenant",))
    assert "mailbox" not in explain(seen, CATALOGUE)[0].values


@given(reply=st.binary(max_size=300), error=ANY_JSON, claims=ANY_JSON, rest=ANY_JSON)
@settings(max_examples=150, deadline=None)
def test_anything_is_explained_and_no_token_comes_out(reply: bytes, error: Any, claims: Any, rest: Any) -> None:
    text = f"{reply.decode('latin-1')} {JWT}"
    observed = {"phase": "auth", "smtp_reply": text, "token_error": error, "token_claims": claims, "ehlo": rest}
    found = explain(from_case({"provider": "microsoft", "observed": observed}), CATALOGUE)
    assert found and JWT not in str(as_json(found, CATALOGUE))


@given(claims=st.dictionaries(st.sampled_from(["aud", "exp", "scp", "roles", "tid", "upn", "appid"]), ANY_JSON))
@settings(max_examples=150, deadline=None)
def test_any_claims_are_explained(claims: dict[str, Any]) -> None:
    seen = Observation(
        provider="microsoft", phase="auth", claims=claims, sasl_user="a@x.org", now=1.0, replies=(REJECTED,)
    )
    assert explain(seen, CATALOGUE)
