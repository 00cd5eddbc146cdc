"""Who is granted what: as little as the checks need, and a clear word where there can be no right script."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpcheck.agent import investigation
from smtpcheck.config import for_mailboxes
from smtpcheck.inspection.question import Question
from smtpcheck.inspection.questions import OF_LOST_MESSAGES
from smtpcheck.oauth.clouds import Cloud
from smtpcheck.setup.choices import Grant
from smtpcheck.setup.plan import Application, MailboxRights, Proof, ProofKind, SetupError, SetupPlan
from smtpcheck.setup.planning import LONGEST_NAME, Wishes, microsoft_plan, shortened
from smtpcheck.setup.proofs import ProofWishes
from tests.worlds.setup import OTHER_CLIENT, UNIT, application, check, loopback, settings_of

RBAC = Wishes(grant=Grant.RBAC_GROUP)


def plan_of(
    folder: Path,
    *checks: dict[str, object],
    wishes: Wishes | None = None,
    credentials: dict[str, dict[str, object]] | None = None,
) -> SetupPlan:
    return microsoft_plan(settings_of(folder, *checks, credentials=credentials), wishes or Wishes())


def only(plan: SetupPlan) -> Application:
    (one,) = plan.applications
    return one


def problems_of(folder: Path, *checks: dict[str, object], **arguments: object) -> list[str]:
    with pytest.raises(SetupError) as refused:
        plan_of(folder, *checks, **arguments)  # type: ignore[arg-type]
    return list(refused.value.problems)


def consents(one: Application) -> list[str]:
    return [consent.name for consent in one.consents]


def test_a_check_by_smtp_needs_one_permission_and_its_mailbox(tmp_path: Path) -> None:
    one = only(plan_of(tmp_path, check()))
    assert consents(one) == ["SMTP.SendAsApp"]
    assert one.mailboxes == (MailboxRights("billing@contoso.com", full_access=True, smtp_auth=True),)
    assert (one.roles, one.superseded, one.role_groups) == ((), (), ())


def test_by_rbac_the_mailbox_needs_neither_consent_nor_full_access(tmp_path: Path) -> None:
    one = only(plan_of(tmp_path, check(), wishes=RBAC))
    assert consents(one) == []
    assert [consent.name for consent in one.superseded] == ["SMTP.SendAsApp"]
    assert one.mailboxes == (MailboxRights("billing@contoso.com", smtp_auth=True),)
    (role,) = one.roles
    assert (role.role, role.group, role.mailboxes) == (
        "Application SMTP.SendAsApp",
        "smtpcheck",
        ("billing@contoso.com",),
    )


def test_a_finder_by_imap_needs_its_own_mailbox_and_no_smtp_there(tmp_path: Path) -> None:
    one = only(plan_of(tmp_path, check(loopback=loopback())))
    assert consents(one) == ["SMTP.SendAsApp", "IMAP.AccessAsApp"]
    assert one.mailboxes == (
        MailboxRights("billing@contoso.com", full_access=True, smtp_auth=True),
        MailboxRights("probe@contoso.com", full_access=True, imap=True),
    )


def test_rbac_has_no_role_for_imap(tmp_path: Path) -> None:
    """The finder is consented to, and the mailbox that it reads is granted; sending stays with the role."""
    one = only(plan_of(tmp_path, check(loopback=loopback()), wishes=RBAC))
    assert consents(one) == ["IMAP.AccessAsApp"]
    assert [(each.address, each.full_access) for each in one.mailboxes] == [
        ("billing@contoso.com", False),
        ("probe@contoso.com", True),
    ]


def test_a_finder_by_graph_reaches_its_mailbox_alone_whatever_the_grant(tmp_path: Path) -> None:
    one = only(plan_of(tmp_path, check(loopback=loopback("graph"))))
    assert consents(one) == ["SMTP.SendAsApp"]
    (role,) = one.roles
    assert (role.role, role.group, role.mailboxes) == (
        "Application Mail.ReadWrite",
        "smtpcheck-mail-readwrite",
        ("probe@contoso.com",),
    )


def test_bounces_that_are_asked_for_need_the_senders_mailbox_too(tmp_path: Path) -> None:
    """Those that are only tried for are granted nothing: it is one mailbox more that the application could read."""
    one = only(plan_of(tmp_path, check(loopback=loopback("graph", bounces={"via": "graph"}))))
    (role,) = one.roles
    assert role.role == "Application Mail.ReadWrite"
    assert set(role.mailboxes) == {"billing@contoso.com", "probe@contoso.com"}


def test_a_search_for_bounces_is_granted_where_it_was_asked_for(tmp_path: Path) -> None:
    silent = only(plan_of(tmp_path, check(loopback=loopback())))
    assert [each.imap for each in silent.mailboxes] == [False, True]
    asked = only(plan_of(tmp_path, check(loopback=loopback(bounces={"via": "imap"}))))
    assert [each.imap for each in asked.mailboxes] == [True, True]


def test_send_as_is_granted_only_where_the_sender_is_another(tmp_path: Path) -> None:
    same, other = check(sender="Billing@Contoso.com"), check("sales@contoso.com", sender="office@contoso.com")
    one = only(plan_of(tmp_path, same, other))
    assert [each.send_as for each in one.mailboxes] == [(), ("office@contoso.com",)]


@pytest.mark.parametrize("depth", ["connect", "token"])
def test_a_check_that_does_not_log_in_needs_nothing(tmp_path: Path, depth: str) -> None:
    one = only(plan_of(tmp_path, check(), check("other@contoso.com", depth=depth)))
    assert [each.address for each in one.mailboxes] == ["billing@contoso.com"]


def test_a_mailbox_whose_login_must_be_refused_is_granted_nothing(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, check(), check("board@contoso.com", expect={"phase": "auth", "code": 535}))
    assert [each.address for each in only(plan).mailboxes] == ["billing@contoso.com"]
    assert any("board@contoso.com is granted nothing" in note for note in plan.notes)


def test_a_sender_that_must_be_refused_gets_no_send_as(tmp_path: Path) -> None:
    refused = check(sender="office@contoso.com", recipient="probe@contoso.com", expect={"phase": "data", "code": 554})
    (mailbox,) = only(plan_of(tmp_path, refused)).mailboxes
    assert (mailbox.smtp_auth, mailbox.send_as) == (True, ())


def test_high_volume_email_needs_mail_send_of_exchange_and_no_mailbox_right(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, check(server={"host": "smtp.hve.mx.microsoft"}))
    assert consents(only(plan)) == ["Mail.Send"]
    assert only(plan).mailboxes == (MailboxRights("billing@contoso.com"),)
    assert any("High Volume Email account billing@contoso.com" in note for note in plan.notes)


def test_a_client_id_of_zeros_is_an_application_that_does_not_exist_yet(tmp_path: Path) -> None:
    nil = {"contoso": application(client_id="00000000-0000-0000-0000-000000000000")}
    assert only(plan_of(tmp_path, check(), credentials=nil)).client_id == ""


def test_one_mailbox_of_many_checks_is_listed_once(tmp_path: Path) -> None:
    again = check("BILLING@contoso.com")
    assert len(only(plan_of(tmp_path, check(), again)).mailboxes) == 1


def test_five_thousand_mailboxes_are_a_plan_with_a_word_on_the_time(tmp_path: Path) -> None:
    checks = [check(f"user{number}@contoso.com") for number in range(5000)]
    plan = plan_of(tmp_path, *checks)
    assert len(only(plan).mailboxes) == 5000
    assert any("5000 mailboxes may take 333 minutes" in note for note in plan.notes)


# ---------------------------------------------------------------------------------------------------------------------
# What is no right script

FABRIKAM = application(tenant="fabrikam.onmicrosoft.com", client_id=OTHER_CLIENT)


def test_two_tenants_are_two_scripts(tmp_path: Path) -> None:
    """What the tenant alone knows (whose a mailbox is) is checked by the script."""
    both = {"contoso": application(), "fabrikam": FABRIKAM}
    checks = [check(), check("sales@fabrikam.com", credential="fabrikam")]
    (problem,) = problems_of(tmp_path, *checks, credentials=both)
    assert "several tenants (contoso.onmicrosoft.com, fabrikam.onmicrosoft.com)" in problem
    assert "smtpcheck setup contoso; smtpcheck setup fabrikam" in problem
    assert (
        only(plan_of(tmp_path, *checks, credentials=both, wishes=Wishes(names=("fabrikam",)))).credential == "fabrikam"
    )


def test_two_applications_do_not_share_a_group_of_different_mailboxes(tmp_path: Path) -> None:
    both = {"contoso": application(), "other": application(client_id=OTHER_CLIENT)}
    checks = [check(), check("sales@contoso.com", credential="other")]
    (problem,) = problems_of(tmp_path, *checks, credentials=both, wishes=RBAC)
    assert "would share the group smtpcheck" in problem


@pytest.mark.parametrize(
    ("credential", "problem"),
    [
        ({"type": "token", "from": {"value": "x"}}, "is of type token, for which there is no script"),
        ({"type": "microsoft-user", "client_id": OTHER_CLIENT}, "smtpcheck login anna"),
        (application(authority="https://id.example.org"), "an issuer of its own (https://id.example.org)"),
        (application(client_id="not-a-guid"), "client_id 'not-a-guid' is not a GUID"),
        ({"type": "microsoft-managed-identity"}, "does not say which managed identity"),
        (application(client_secret=None, client_certificate={"file": "none.pem"}), "none.pem cannot be read"),
        (application(client_secret=None, client_assertion={"file": "none.jwt"}), "--federated-issuer"),
        (application(client_secret=None, client_assertion={"value": "opaque"}), "is not a JWT with iss and sub"),
    ],
)
def test_a_credential_that_no_script_can_be_made_for(
    tmp_path: Path, credential: dict[str, object], problem: str
) -> None:
    anna = {key: value for key, value in credential.items() if value is not None}
    found = problems_of(
        tmp_path,
        check(credential="anna", server={"host": "smtp.office365.com"}),
        credentials={"anna": anna},
        wishes=Wishes(names=("anna",), tenant="contoso.com"),
    )
    assert problem in "\n".join(found)


def test_a_credential_that_no_check_uses_is_not_set_up(tmp_path: Path) -> None:
    both = {"contoso": application(), "other": application(client_id=OTHER_CLIENT)}
    assert only(plan_of(tmp_path, check(), credentials=both)).credential == "contoso"
    assert (
        "no check logs in with credential other"
        in problems_of(tmp_path, check(), credentials=both, wishes=Wishes(names=("other",)))[0]
    )


@pytest.mark.parametrize(
    ("wishes", "problem"),
    [
        (Wishes(names=("nobody",)), "there is no credential 'nobody'; there is: contoso"),
        (Wishes(grant=Grant.RBAC_AU), "needs --administrative-unit"),
        (Wishes(grant=Grant.RBAC_AU, administrative_unit="Sales"), "(a GUID), not 'Sales'"),
        (Wishes(administrative_unit=UNIT), "has no effect without --grant rbac-au"),
        (Wishes(grant=Grant.RBAC_GROUP, group="x" * 50), "is not a name of 1 to 49 printable characters"),
        (Wishes(grant=Grant.RBAC_GROUP, group="a\nb"), "printable characters"),
        (Wishes(proof=ProofWishes(managed_identity="vm1")), "'vm1' is not the object id"),
    ],
)
def test_a_wish_that_cannot_be_met(tmp_path: Path, wishes: Wishes, problem: str) -> None:
    assert problem in "\n".join(problems_of(tmp_path, wishes=wishes))


@pytest.mark.parametrize("cloud", ["gcc-high", "dod", "china"])
def test_rbac_is_for_the_global_cloud(tmp_path: Path, cloud: str) -> None:
    there = {"contoso": application(cloud=cloud)}
    assert "use --grant mailbox" in problems_of(tmp_path, credentials=there, wishes=RBAC)[0]
    graph = check(loopback=loopback("graph"))
    assert "find messages by IMAP there" in problems_of(tmp_path, graph, credentials=there)[0]
    plan = plan_of(tmp_path, credentials=there)
    assert plan.cloud is Cloud(cloud)
    assert any(f"For cloud {cloud}" in note for note in plan.notes)


# ---------------------------------------------------------------------------------------------------------------------
# Proofs, names and options


def test_a_managed_identity_proves_an_application_by_its_object_id(tmp_path: Path) -> None:
    proof = only(plan_of(tmp_path, wishes=Wishes(proof=ProofWishes(managed_identity=UNIT)))).proof
    assert proof == Proof(ProofKind.MANAGED_IDENTITY, subject=UNIT, audience="api://AzureADTokenExchange")


def test_the_claims_of_an_assertion_that_can_be_read_are_those_registered(tmp_path: Path) -> None:
    import jwt

    claims = {"iss": "https://issuer.example.com/", "sub": "system:serviceaccount:mail:smtpcheck", "aud": ["api://x"]}
    (tmp_path / "token").write_text(jwt.encode(claims, "k" * 32))
    federated = application(client_assertion={"file": "token"})
    del federated["client_secret"]
    proof = only(plan_of(tmp_path, credentials={"contoso": federated})).proof
    assert (proof.issuer, proof.subject, proof.audience) == (claims["iss"], claims["sub"], "api://x")


@given(st.text(max_size=120))
def test_a_name_for_exchange_is_short_and_plain_and_its_own(name: str) -> None:
    short = shortened(name, LONGEST_NAME)
    assert len(short) <= LONGEST_NAME
    assert set(short) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
    assert (short == name) or short[-9] == "-"


def test_options_in_place_of_a_configuration() -> None:
    loaded = for_mailboxes({"tenant": "contoso.com", "mailbox": ["a@contoso.com", "b@contoso.com"]}, None)
    assert loaded.settings
    assert [each.mailbox for each in loaded.settings.checks] == ["a@contoso.com", "b@contoso.com"]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"tenant": "contoso.com"}, "--mailbox"),
        ({"mailbox": ["a@contoso.com"]}, "--tenant: is missing"),
        (
            {"tenant": "contoso.com", "mailbox": ["a b@contoso.com"]},
            '--mailbox: "a b@contoso.com": is not a',
        ),
        ({"tenant": "contoso.com", "mailbox": ["a@contoso.com"], "cloud": "mars"}, "--cloud:"),
        ({"provider": "google", "tenant": "contoso.com", "mailbox": ["a@contoso.com"]}, "--tenant: unknown key"),
        ({"tenant": "common", "mailbox": ["a@contoso.com"]}, "need the tenant itself"),
    ],
)
def test_wrong_options_are_named(options: dict[str, object], problem: str) -> None:
    loaded = for_mailboxes(options, None)
    assert loaded.settings is None
    assert problem in "\n".join(map(str, loaded.problems))


# ---------------------------------------------------------------------------------------------------------------------
# Other uses than SMTP


def test_sending_by_graph_is_limited_to_its_mailboxes_and_needs_no_smtp(tmp_path: Path) -> None:
    one = only(plan_of(tmp_path, check(via={"api": "graph"})))
    (role,) = one.roles
    assert (role.role, role.group, role.mailboxes) == (
        "Application Mail.Send",
        "smtpcheck-mail-send",
        ("billing@contoso.com",),
    )
    assert consents(one) == []
    assert one.mailboxes == (MailboxRights("billing@contoso.com"),)


AUDITED = {
    "contoso": application(inspect={"by": "auditor"}),
    "auditor": application(client_id=OTHER_CLIENT),
}


def auditor_of(plan: SetupPlan) -> Application:
    return next(each for each in plan.applications if each.credential == "auditor")


def test_an_inspector_is_granted_what_its_questions_need(tmp_path: Path) -> None:
    auditor = auditor_of(plan_of(tmp_path, check(), credentials=AUDITED))
    asked = set(consents(auditor))
    assert asked >= {"Application.Read.All", "Directory.Read.All", "User.Read.All", "Policy.Read.All"}
    assert not asked & {"AuditLog.Read.All", "Exchange.ManageAsApp", "MailboxSettings.Read"}
    (role,) = auditor.roles
    assert (role.role, role.mailboxes) == ("Application MailboxSettings.Read", ("billing@contoso.com",))
    assert (auditor.role_groups, [each.full_access for each in auditor.mailboxes]) == ((), [False])


@pytest.mark.parametrize("exchange", [False, True])
def test_an_inspector_may_trace_messages_where_some_are_sent(tmp_path: Path, *, exchange: bool) -> None:
    audited = {**AUDITED, "contoso": application(inspect={"by": "auditor", "exchange": exchange})}
    trace = "ExchangeMessageTrace.Read.All"
    plain = plan_of(tmp_path, check(), credentials=audited)
    assert trace not in consents(auditor_of(plain))
    assert not [note for note in plain.notes if "quarantine" in note]
    sending = plan_of(tmp_path, check(loopback=loopback()), credentials=audited)
    assert trace in consents(auditor_of(sending))
    assert any("New-MgServicePrincipal -AppId 8bd644d1" in note for note in sending.notes)
    noted = [note for note in sending.notes if "quarantine" in note and "Security Reader or Global Reader" in note]
    assert len(noted) == exchange


def test_where_graph_has_no_message_trace_its_permission_is_not_granted(tmp_path: Path) -> None:
    audited = {
        "contoso": application(inspect={"by": "auditor", "exchange": True}, cloud="gcc-high"),
        "auditor": application(client_id=OTHER_CLIENT, cloud="gcc-high"),
    }
    auditor = auditor_of(plan_of(tmp_path, check(loopback=loopback()), credentials=audited))
    assert "ExchangeMessageTrace.Read.All" not in consents(auditor)
    assert "Exchange.ManageAsApp" in consents(auditor)


def test_every_question_that_is_asked_of_messages_is_one_that_setup_knows() -> None:
    """What the agent asks beside the readings declares its permissions where setup adds them up."""
    used = vars(investigation)
    asked = {value.name for value in used.values() if isinstance(value, Question)}
    assert asked | {each.name for each in used["TRACES"]} == {each.name for each in OF_LOST_MESSAGES}


def test_an_inspector_of_exchange_also_joins_the_role_group_that_reads(tmp_path: Path) -> None:
    audited = {**AUDITED, "contoso": application(inspect={"by": "auditor", "exchange": True})}
    auditor = auditor_of(plan_of(tmp_path, check(), credentials=audited))
    assert "Exchange.ManageAsApp" in consents(auditor)
    assert auditor.role_groups == ("View-Only Organization Management",)
