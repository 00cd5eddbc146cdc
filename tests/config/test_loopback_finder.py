"""What `find:` means, and what is told of one that cannot work."""

from pathlib import Path

import pytest
import trustme

from smtpcheck.config.loopback_finder import FindResolver, FindSection
from smtpcheck.config.problems import Place, Problems
from smtpcheck.config.validation import validated
from smtpcheck.config.yaml_reader import Document, read
from smtpcheck.loopback.plan import Find, FindVia
from smtpcheck.model.check import IpVersion, Mechanism, Security, Server
from smtpcheck.oauth.credential import Credential
from smtpcheck.oauth.google_service_account import GoogleServiceAccount
from smtpcheck.oauth.microsoft import Microsoft
from smtpcheck.oauth.microsoft_user import MicrosoftUser
from smtpcheck.oauth.oauth2 import OAuth2
from smtpcheck.oauth.password import Password
from smtpcheck.oauth.static_token import StaticToken

TO = "probe@contoso.com"


def _microsoft(**keys: object) -> Microsoft:
    given = {"tenant": "contoso.com", "client_id": "x", "client_secret": {"value": "abc"}, **keys}
    return Microsoft.model_validate(given)


CREDENTIALS: dict[str, Credential] = {
    "contoso": _microsoft(),
    "socks": _microsoft(proxy="socks5h://127.0.0.1:1080"),
    "china": _microsoft(cloud="china"),
    "private": _microsoft(authority="https://id.example.org", scope="https://mail.example.org/.default"),
    "anna": MicrosoftUser.model_validate({"client_id": "x"}),
    "workspace": GoogleServiceAccount.model_validate({"key_file": "sa.json"}),
    "site": OAuth2.model_validate(
        {"issuer": "https://id.example.org", "client_id": "x", "client_secret": {"value": "abc"}, "scope": "mail"}
    ),
    "ready": StaticToken.model_validate({"from": {"value": "abc"}}),
    "named": Password.model_validate({"password": {"value": "abc"}, "user": "anna-login"}),
    "legacy": Password.model_validate({"password": {"value": "abc"}}),
}


def _resolved(folder: Path, text: str, credential: str | None) -> tuple[Find | None, str]:
    """Return what `find: {text}` means for a check with that credential, and the problems as they are printed."""
    file = folder / "find.yaml"
    file.write_text(text)
    problems = Problems()
    document = read(file, problems)
    assert isinstance(document, Document)
    place = Place(document)
    section = validated(FindSection, document.value, place.__add__, problems, folder)
    resolver = FindResolver(CREDENTIALS, {*CREDENTIALS, "wrong"}, problems)
    found = resolver.find(section, place.__add__, to=TO, credential=credential) if section else None
    told = "\n".join(str(problem) for problem in problems.in_order([str(file)]))
    assert problems.any_error == (found is None)
    return found, told.replace(f"{file}:1: ", "")


def _find(folder: Path, text: str, credential: str | None) -> Find:
    found, told = _resolved(folder, text, credential)
    assert found is not None, told
    return found


def _server(host: str, port: int = 993, security: Security = Security.IMPLICIT) -> Server:
    return Server(host, port, security, server_name=host, ehlo="")


def test_imap_at_microsoft_needs_no_server_and_takes_the_token_of_the_check(tmp_path: Path) -> None:
    expected = Find(FindVia.IMAP, TO, "contoso", scope="", server=_server("outlook.office365.com"))
    assert _find(tmp_path, "{via: imap}", "contoso") == expected


def test_a_user_at_microsoft_has_a_scope_of_its_own_for_imap(tmp_path: Path) -> None:
    found = _find(tmp_path, "{via: imap}", "anna")
    assert (found.server, found.scope) == (
        _server("outlook.office365.com"),
        "https://outlook.office.com/IMAP.AccessAsUser.All",
    )


@pytest.mark.parametrize(
    ("credential", "host", "scope"),
    [
        ("contoso", "https://graph.microsoft.com", "https://graph.microsoft.com/.default"),
        ("china", "https://microsoftgraph.chinacloudapi.cn", "https://microsoftgraph.chinacloudapi.cn/.default"),
        ("anna", "https://graph.microsoft.com", "https://graph.microsoft.com/Mail.ReadWrite"),
        ("private", "https://id.example.org", "https://graph.microsoft.com/.default"),
    ],
)
def test_graph_is_that_of_the_cloud(tmp_path: Path, credential: str, host: str, scope: str) -> None:
    server = _server(host.removeprefix("https://"), port=443)
    expected = Find(FindVia.GRAPH, "other@contoso.com", credential, scope, server, graph=host)
    assert _find(tmp_path, f"{{via: graph, credential: {credential}, mailbox: other@contoso.com}}", "ready") == expected


@pytest.mark.parametrize(("credential", "host"), [("workspace", "imap.gmail.com"), ("china", "partner.outlook.cn")])
def test_the_provider_tells_the_server(tmp_path: Path, credential: str, host: str) -> None:
    assert _find(tmp_path, "{via: imap}", credential).server == _server(host)


@pytest.mark.parametrize(
    ("text", "port", "security"),
    [
        ("host: m.example.org", 993, Security.IMPLICIT),
        ("host: m.example.org, security: starttls", 143, Security.STARTTLS),
        ("host: m.example.org, port: 143", 143, Security.STARTTLS),
        ("host: m.example.org, port: 1993", 1993, Security.IMPLICIT),
        ("host: m.example.org, port: 1143, security: starttls", 1143, Security.STARTTLS),
    ],
)
def test_port_and_security_imply_each_other(tmp_path: Path, text: str, port: int, security: Security) -> None:
    found = _find(tmp_path, f"{{via: imap, server: {{{text}}}}}", "site")
    assert found.server == _server("m.example.org", port, security)


def test_everything_may_be_said(tmp_path: Path) -> None:
    trustme.CA().cert_pem.write_to_path(tmp_path / "ca.pem")
    text = (
        "{via: imap, credential: site, mailbox: p@example.org, scope: imap, mechanism: oauthbearer, server: "
        "{host: m.org, port: 143, security: none, ca_file: ca.pem, server_name: n.org, ip_version: 4, min_tls: 1.3, "
        "allow_plaintext: true}}"
    )
    server = Server(
        "m.org",
        143,
        Security.NONE,
        server_name="n.org",
        ehlo="",
        ca_file=str(tmp_path / "ca.pem"),
        ip_version=IpVersion.V4,
        min_tls="1.3",
        allow_plaintext=True,
    )
    expected = Find(FindVia.IMAP, "p@example.org", "site", "imap", server, Mechanism.OAUTHBEARER)
    assert _find(tmp_path, text, "contoso") == expected


def test_the_user_of_a_password_logs_in_to_imap_as_to_smtp(tmp_path: Path) -> None:
    """The mailbox says whose folders are searched, the credential who logs in."""
    found = _find(tmp_path, "{via: imap, server: {host: imap.example.org}}", "named")
    assert (found.mailbox, found.user) == (TO, "anna-login")


@pytest.mark.parametrize("credential", ["legacy", "site"])
def test_a_bare_login_name_is_one_where_the_provider_is_neither_microsoft_nor_google(
    tmp_path: Path, credential: str
) -> None:
    """Dovecot and Cyrus know their users by names without a domain."""
    assert _find(tmp_path, "{via: imap, mailbox: anna, server: {host: m.example.org}}", credential).mailbox == "anna"


@pytest.mark.parametrize(
    ("text", "credential"),
    [
        ("via: imap", "contoso"),
        ("via: graph", "contoso"),
        ("via: imap", "workspace"),
        ("via: imap, server: {host: imap.gmail.com}", "ready"),
    ],
)
def test_a_bare_login_name_is_refused_where_the_provider_takes_addresses(
    tmp_path: Path, text: str, credential: str
) -> None:
    found, told = _resolved(tmp_path, f"{{{text}, mailbox: anna}}", credential)
    assert (found, "has no @" in told) == (None, True)


def test_none_says_nothing_else(tmp_path: Path) -> None:
    assert _find(tmp_path, "{via: none}", None) == Find(FindVia.NONE)


@pytest.mark.parametrize(
    ("text", "credential", "told"),
    [
        ("{}", "contoso", "via: is missing"),
        ("{via: pop}", "contoso", 'via: "pop": must be one of imap, graph, none'),
        ("{via: imap, crdential: x}", "contoso", 'crdential: unknown key\n  hint: did you mean "credential"?'),
        ("{via: imap}", None, "credential: is missing\n  hint: name the credential that may read the mailbox"),
        (
            "{via: imap, credential: contso}",
            "contoso",
            'credential: "contso": there is no credential of this name\n  hint: did you mean "contoso"?',
        ),
        (
            "{via: imap, mailbox: probe}",
            "contoso",
            'mailbox: "probe": has no @\n  hint: write the whole address, such as',
        ),
        (
            "{via: none, mailbox: probe@contoso.com}",
            "contoso",
            "mailbox: has no effect with via: none\n  hint: remove it",
        ),
        ("{via: graph, server: {port: 993}}", "contoso", "server: has no effect with via: graph\n  hint: remove it"),
        ("{via: graph, mechanism: xoauth2}", "contoso", "mechanism: has no effect with via: graph\n  hint: remove it"),
        (
            "{via: graph}",
            "workspace",
            (
                'via: "graph": Microsoft Graph accepts only tokens of Microsoft, and credential workspace is of type '
                "google-service-account\n  hint: write via: imap, or name a credential whose type begins with microsoft"
            ),
        ),
        (
            "{via: graph}",
            "socks",
            (
                'via: "graph": Microsoft Graph cannot be used through a SOCKS proxy, which credential socks has\n'
                "  hint: use an http:// proxy, or imap"
            ),
        ),
        (
            "{via: imap}",
            "private",
            "server.host: is missing\n  hint: name the IMAP server; the credential does not imply it",
        ),
        (
            "{via: imap, server: {port: 587}}",
            "contoso",
            "server.port: 587: is a port of SMTP, not of IMAP\n  hint: write port: 993",
        ),
        (
            "{via: imap, server: {host: smtp.office365.com}}",
            "contoso",
            (
                'server.host: "smtp.office365.com": is for submission, not for reading\n'
                "  hint: write outlook.office365.com"
            ),
        ),
        (
            "{via: imap, server: {host: imap.gmail.com}}",
            "contoso",
            (
                'server.host: "imap.gmail.com": belongs to Google, and credential contoso gives tokens of Microsoft\n'
                "  hint: write outlook.office365.com, or name a credential of the server's provider"
            ),
        ),
        (
            "{via: imap, server: {host: outlook.office365.com}}",
            "china",
            (
                'server.host: "outlook.office365.com": belongs to cloud global, and credential china to china\n'
                "  hint: write partner.outlook.cn, or set the right cloud in the credential"
            ),
        ),
        (
            "{via: imap, server: {host: m.example.org, security: none}}",
            "site",
            (
                'server.security: "none": without TLS no token is sent, and the search needs to send one\n'
                "  hint: use implicit or starttls; where nobody can eavesdrop, set allow_plaintext: true"
            ),
        ),
        ("{via: imap, server: {host: m.org, ca_file: gone.pem}}", "site", "cannot be read"),
    ],
)
def test_what_cannot_work_is_told(tmp_path: Path, text: str, credential: str | None, told: str) -> None:
    found, problems = _resolved(tmp_path, text, credential)
    assert found is None
    assert told in problems


def test_a_credential_that_is_wrong_itself_is_told_of_only_there(tmp_path: Path) -> None:
    file = tmp_path / "find.yaml"
    file.write_text("{via: imap, credential: wrong}")
    problems = Problems()
    document = read(file, problems)
    assert document is not None
    place = Place(document)
    section = FindSection(via=FindVia.IMAP, credential="wrong")
    found = FindResolver(CREDENTIALS, {*CREDENTIALS, "wrong"}, problems).find(
        section, place.__add__, to=TO, credential=None
    )
    assert found is None
    assert problems.in_order([]) == ()


def test_a_password_reads_by_what_the_server_offers_and_never_by_a_mechanism_of_tokens(tmp_path: Path) -> None:
    server = "server: {host: imap.example.org}"
    legacy = _find(tmp_path, f"{{via: imap, {server}}}", "legacy")
    assert (legacy.mechanism, legacy.password) == (None, True)
    assert not _find(tmp_path, f"{{via: imap, {server}}}", "site").password
    assert _find(tmp_path, f"{{via: imap, {server}, mechanism: login}}", "legacy").mechanism is Mechanism.LOGIN
    for mechanism, credential in (("xoauth2", "legacy"), ("plain", "site")):
        found, told = _resolved(tmp_path, f"{{via: imap, {server}, mechanism: {mechanism}}}", credential)
        assert found is None
        assert f'mechanism: "{mechanism}": carries a' in told
