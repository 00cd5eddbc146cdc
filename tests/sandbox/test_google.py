"""The sandbox's Google: google-auth gets its tokens there, and each refusal is Google's own."""

import asyncio
import base64
import hashlib
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

import google.auth.exceptions
import google.auth.transport.requests
import google.oauth2.credentials
import google.oauth2.service_account
import jwt
import pytest
import requests

from smtpcheck.sandbox.certificates import Authority, Certificate
from smtpcheck.sandbox.google import DEVICE_GRANT, JWT_GRANT, GoogleIssuer
from smtpcheck.sandbox.google_accounts import MAIL_SCOPE, Fault, GoogleClient, GoogleUser, ServiceAccount

ANNA = "anna@contoso.example"
SEND_SCOPE = "https://www.googleapis.com/auth/gmail.send"
REDIRECT = "http://127.0.0.1:49152/"
DAY = 86400
Answer = dict[str, Any]
T = TypeVar("T")


class Site:
    """A running issuer with one user, one client and one service account."""

    def __init__(self, ca_file: Path) -> None:
        self.ca_file = ca_file
        self.user, self.client, self.account = GoogleUser(ANNA), GoogleClient(), ServiceAccount()
        self.issuer = GoogleIssuer([self.user], [self.client], [self.account])
        self.ahead = 0.0
        self.issuer.clock = lambda: time.time() + self.ahead
        self.key_file: dict[str, str] = {}

    @contextmanager
    def session(self) -> Iterator[requests.Session]:
        with requests.Session() as session:
            session.trust_env = False
            session.verify = str(self.ca_file)
            yield session

    def by_account(self, scope: str = MAIL_SCOPE, subject: str | None = ANNA) -> str:
        """Return the token that google-auth gets by the key file."""
        credentials = google.oauth2.service_account.Credentials.from_service_account_info(  # type: ignore[no-untyped-call]
            self.key_file, scopes=[scope], subject=subject
        )
        with self.session() as session:
            credentials.refresh(google.auth.transport.requests.Request(session))
        return str(credentials.token)

    def by_refresh_token(self, token: str) -> str:
        """Return the token that google-auth gets by a refresh token."""
        credentials = google.oauth2.credentials.Credentials(  # type: ignore[no-untyped-call]
            None, token, None, self.issuer.token_uri, self.client.client_id, self.client.secret
        )
        with self.session() as session:
            credentials.refresh(google.auth.transport.requests.Request(session))  # type: ignore[no-untyped-call]
        return str(credentials.token)

    def post(self, path: str, **form: str) -> tuple[int, Answer]:
        with self.session() as session:
            response = session.post(self.issuer.url + path, data=form, timeout=5)
            return response.status_code, response.json()

    def token(self, **form: str) -> tuple[int, Answer]:
        client = {"client_id": self.client.client_id, "client_secret": self.client.secret}
        return self.post("token", **(client | form))

    def browse(self, **query: str) -> dict[str, str]:
        """Return the query of the address that the browser is sent back to."""
        asked = {"client_id": self.client.client_id, "redirect_uri": REDIRECT, "response_type": "code"}
        with self.session() as session:
            url = f"{self.issuer.url}o/oauth2/v2/auth"
            answer = session.get(url, params=asked | query, allow_redirects=False, timeout=5)
        assert answer.status_code == 302
        assert answer.headers["Location"].startswith(f"{REDIRECT}?")
        return {name: values[0] for name, values in parse_qs(urlsplit(answer.headers["Location"]).query).items()}

    def sign_in(self, scope: str = MAIL_SCOPE) -> Answer:
        """Sign in by the browser with PKCE and return the tokens."""
        self.issuer.visitor = ANNA
        verifier = "v" * 64
        back = self.browse(scope=scope, state="s", code_challenge=s256(verifier), code_challenge_method="S256")
        assert back["state"] == "s"
        status, answer = self.token(
            grant_type="authorization_code", code=back["code"], redirect_uri=REDIRECT, code_verifier=verifier
        )
        assert status == 200
        return answer


def s256(verifier: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    authority = Authority()
    ca_file = tmp_path / "ca.pem"
    ca_file.write_bytes(authority.pem)
    site = Site(ca_file)
    await site.issuer.start(authority.server_context(Certificate.VALID))
    site.key_file = json.loads(site.account.key_file(site.issuer.token_uri))
    try:
        yield site
    finally:
        await site.issuer.close()


async def refused(work: Callable[[], object]) -> Answer:
    """Return what google-auth was refused with."""
    with pytest.raises(google.auth.exceptions.RefreshError) as caught:
        await asyncio.to_thread(work)
    answer: Answer = caught.value.args[1]
    return answer


async def test_a_service_account_acts_for_a_user(site: Site) -> None:
    """google-auth gets an opaque token for the mailbox, by an assertion that is verified."""
    token = await asyncio.to_thread(site.by_account)
    access = site.issuer.access(token)
    assert access is not None
    assert (access.address, access.scopes, access.client_id) == (ANNA, frozenset({MAIL_SCOPE}), site.account.unique_id)
    assert token.startswith("ya29.c.")
    assert 900 < len(token) < 1100
    assert site.issuer.token_requests == {site.account.email: 1}


async def test_a_refresh_token_gives_tokens_and_stays(site: Site) -> None:
    """The browser's sign-in with PKCE gives a refresh token that google-auth uses again and again."""
    answer = await asyncio.to_thread(site.sign_in)
    tokens = [await asyncio.to_thread(site.by_refresh_token, answer["refresh_token"]) for _ in range(2)]
    assert len({answer["access_token"], *tokens}) == 3
    assert {token[:8] for token in tokens} == {"ya29.a0A"}
    assert {access.address for token in tokens if (access := site.issuer.access(token))} == {ANNA}
    assert (answer["scope"], answer["expires_in"], answer["token_type"]) == (MAIL_SCOPE, 3599, "Bearer")


async def test_a_refresh_token_of_an_app_in_testing_dies_after_seven_days(site: Site) -> None:
    """Its end is told at the sign-in, use does not prolong it, and a published app's lives on."""
    site.client.testing = True
    answer = await asyncio.to_thread(site.sign_in)
    assert answer["refresh_token_expires_in"] == 604799
    token = answer["refresh_token"]
    site.ahead = 7 * DAY - 60
    await asyncio.to_thread(site.by_refresh_token, token)
    site.ahead = 7 * DAY + 60
    dead = {"error": "invalid_grant", "error_description": "Token has been expired or revoked."}
    assert await refused(lambda: site.by_refresh_token(token)) == dead
    site.client.testing = False
    assert await asyncio.to_thread(site.by_refresh_token, token)


async def test_a_refresh_token_dies_of_half_a_year_without_use_and_of_revocation(site: Site) -> None:
    """Both are the same error."""
    unused, revoked = [(await asyncio.to_thread(site.sign_in))["refresh_token"] for _ in range(2)]
    site.issuer.revoke(revoked)
    dead = {"error": "invalid_grant", "error_description": "Token has been expired or revoked."}
    assert await refused(lambda: site.by_refresh_token(revoked)) == dead
    assert await asyncio.to_thread(site.by_refresh_token, unused)
    site.ahead = 183 * DAY
    assert await refused(lambda: site.by_refresh_token(unused)) == dead


async def test_a_deleted_user_and_a_foreign_refresh_token_are_told_apart(site: Site) -> None:
    """The account's end has its own text, and a token that never was one says nothing."""
    token = (await asyncio.to_thread(site.sign_in))["refresh_token"]
    site.user.deleted = True
    deleted = {"error": "invalid_grant", "error_description": "Account has been deleted"}
    assert await refused(lambda: site.by_refresh_token(token)) == deleted
    unknown = {"error": "invalid_grant", "error_description": "Bad Request"}
    assert await refused(lambda: site.by_refresh_token("1//0nonsense")) == unknown


@pytest.mark.parametrize(
    ("delegated", "scope", "subject", "refusal"),
    [
        (None, MAIL_SCOPE, ANNA, "unauthorized_client: Client is unauthorized to retrieve access tokens"),
        ({SEND_SCOPE}, MAIL_SCOPE, ANNA, "unauthorized_client: Client is unauthorized to retrieve access tokens"),
        ({MAIL_SCOPE}, f"{MAIL_SCOPE} {SEND_SCOPE}", ANNA, "access_denied: Requested client not authorized."),
        ({MAIL_SCOPE}, MAIL_SCOPE, "nobody@contoso.example", "invalid_grant: Invalid email or User ID"),
        ({MAIL_SCOPE}, "https://mail.google.com", ANNA, "invalid_scope: Invalid OAuth scope or ID token audience"),
    ],
)
async def test_domain_wide_delegation_is_per_client_and_scope(
    site: Site, delegated: set[str] | None, scope: str, subject: str, refusal: str
) -> None:
    """A missing entry, a missing scope, an unknown user and an unknown scope have each their own answer."""
    site.account.delegated = frozenset(delegated) if delegated is not None else None
    answer = await refused(lambda: site.by_account(scope, subject))
    assert f"{answer['error']}: {answer['error_description']}".startswith(refusal)


async def test_a_deleted_key_signs_no_more(site: Site) -> None:
    """An assertion by a key that is not the account's any more is refused for its signature."""
    site.account.keys.clear()
    bad = {"error": "invalid_grant", "error_description": "Invalid JWT Signature."}
    assert await refused(site.by_account) == bad
    ServiceAccount.key_file(site.account, "")
    site.account.keys = {site.key_file["private_key_id"]: next(iter(site.account.keys.values()))}
    assert await refused(site.by_account) == bad


async def test_a_clock_that_is_wrong_is_seen(site: Site) -> None:
    """An assertion from an hour ago or ahead is none of the right time."""
    for site.ahead in (-4000.0, 4000.0):
        answer = await refused(site.by_account)
        assert answer["error"] == "invalid_grant"
        assert answer["error_description"].startswith("Invalid JWT: Token must be a short-lived token (60 minutes)")


@pytest.mark.parametrize(
    ("claims", "description"),
    [
        ({"aud": "https://example.org/token"}, "Invalid JWT: Failed audience check."),
        ({"iss": "other@contoso-project.iam.gserviceaccount.com"}, "Invalid grant: account not found"),
        ({"exp": 2_000_000_000}, "Invalid JWT: Token must be a short-lived token (60 minutes)"),
        ({"iat": "now"}, "Invalid JWT: Token must be a short-lived token (60 minutes)"),
    ],
)
async def test_an_assertion_is_judged_by_its_claims(site: Site, claims: Answer, description: str) -> None:
    """Audience, account and times have each their own answer."""
    now = int(time.time())
    standard = {"iss": site.account.email, "sub": ANNA, "scope": MAIL_SCOPE, "aud": site.issuer.token_uri}
    key, key_id = site.key_file["private_key"], site.key_file["private_key_id"]

    def ask(changed: Answer) -> tuple[int, Answer]:
        signed = jwt.encode({**standard, "iat": now, "exp": now + 3600, **changed}, key, "RS256", {"kid": key_id})
        return site.post("token", grant_type=JWT_GRANT, assertion=signed)

    status, answer = await asyncio.to_thread(ask, claims)
    assert (status, answer["error"]) == (400, "invalid_grant")
    assert answer["error_description"].startswith(description)
    assert (await asyncio.to_thread(ask, {}))[0] == 200


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault.CLIENT_DELETED, "deleted_client"),
        (Fault.CLIENT_DISABLED, "disabled_client"),
        (Fault.ADMIN_POLICY, "admin_policy_enforced"),
    ],
)
async def test_a_client_and_an_account_may_be_refused_for_anything(site: Site, fault: Fault, error: str) -> None:
    """A fault is what every request gets, of the account and of the client."""
    token = (await asyncio.to_thread(site.sign_in))["refresh_token"]
    site.account.fault = site.client.fault = fault
    answers = [await refused(site.by_account), await refused(lambda: site.by_refresh_token(token))]
    assert [answer["error"] for answer in answers] == [error, error]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"code_verifier": "w" * 64}, "invalid_grant"),
        ({"code_verifier": ""}, "invalid_grant"),
        ({"redirect_uri": "http://127.0.0.1:1/"}, "redirect_uri_mismatch"),
        ({"client_secret": "wrong"}, "invalid_client"),
        ({"code": "4/0Anonsense"}, "invalid_grant"),
    ],
)
async def test_a_code_is_bound_to_its_client_address_and_verifier(
    site: Site, change: dict[str, str], error: str
) -> None:
    """Each of them wrong gives no token, and a code that was tried is used up."""
    site.issuer.visitor = ANNA

    def work() -> list[str]:
        back = site.browse(scope=MAIL_SCOPE, code_challenge=s256("v" * 64), code_challenge_method="S256")
        form = {
            "grant_type": "authorization_code",
            "code": back["code"],
            "redirect_uri": REDIRECT,
            "code_verifier": "v" * 64,
        }
        return [site.token(**(form | change))[1]["error"], *(site.token(**form)[1].get("error", "") for _ in range(2))]

    first, *later = await asyncio.to_thread(work)
    assert first == error
    assert later[-1] == "invalid_grant"


async def test_a_code_lives_ten_minutes(site: Site) -> None:
    """Later it gives no token."""
    site.issuer.visitor = ANNA
    back = await asyncio.to_thread(site.browse, scope=MAIL_SCOPE)
    site.ahead = 601
    form = {"grant_type": "authorization_code", "code": back["code"], "redirect_uri": REDIRECT}
    status, answer = await asyncio.to_thread(lambda: site.token(**form))
    assert (status, answer) == (400, {"error": "invalid_grant", "error_description": "Malformed auth code."})


async def test_the_browser_comes_back_with_a_refusal(site: Site) -> None:
    """Nobody signed in, no test user, and an unknown scope are told at the client's own address."""
    refusals = [await asyncio.to_thread(site.browse, scope=MAIL_SCOPE)]
    site.issuer.visitor, site.client.testing, site.client.test_users = ANNA, True, frozenset({"ben@contoso.example"})
    refusals.append(await asyncio.to_thread(site.browse, scope=MAIL_SCOPE))
    site.client.testing = False
    refusals.append(await asyncio.to_thread(site.browse, scope="https://example.org/"))
    assert refusals == [{"error": "access_denied"}, {"error": "access_denied"}, {"error": "invalid_scope"}]


async def test_a_browser_is_sent_to_loopback_alone(site: Site) -> None:
    """A redirect to another host is refused on Google's own page."""
    with site.session() as session:
        params = {"client_id": site.client.client_id, "redirect_uri": "http://example.org/", "response_type": "code"}
        url = f"{site.issuer.url}o/oauth2/v2/auth"
        answer = await asyncio.to_thread(session.get, url, params=params, allow_redirects=False, timeout=5)
    assert (answer.status_code, answer.json()["error"]) == (400, "redirect_uri_mismatch")


async def test_a_device_may_not_ask_for_mail(site: Site) -> None:
    """Google allows no scope of Gmail to devices; what it allows there works, in Google's own words."""
    status, answer = await asyncio.to_thread(
        site.post, "device/code", client_id=site.client.client_id, scope=MAIL_SCOPE
    )
    assert (status, answer) == (
        400,
        {"error": "invalid_scope", "error_description": f"Invalid device flow scope: {MAIL_SCOPE}"},
    )


async def test_a_device_waits_and_is_approved_or_declined(site: Site) -> None:
    """Waiting is 428, haste and a refusal are 403, and approval gives tokens once."""
    site.issuer.interval = 3

    def begin() -> Answer:
        status, answer = site.post("device/code", client_id=site.client.client_id, scope="openid email")
        assert status == 200
        assert answer["verification_url"] == f"{site.issuer.url}device"
        return answer

    def poll(device: Answer) -> tuple[int, str]:
        status, answer = site.token(grant_type=DEVICE_GRANT, device_code=device["device_code"])
        return status, answer.get("error", answer.get("id_token", "")[:3])

    device = await asyncio.to_thread(begin)
    polls = [await asyncio.to_thread(poll, device) for _ in range(2)]
    site.ahead += 8
    site.issuer.approve(device["user_code"], ANNA)
    polls += [await asyncio.to_thread(poll, device) for _ in range(2)]
    assert polls == [
        (428, "authorization_pending"),
        (403, "slow_down"),
        (200, "eyJ"),
        (400, "invalid_grant"),
    ]
    declined, late = [await asyncio.to_thread(begin) for _ in range(2)]
    site.issuer.decline(declined["user_code"])
    assert await asyncio.to_thread(poll, declined) == (403, "access_denied")
    site.ahead += 1800
    assert await asyncio.to_thread(poll, late) == (400, "expired_token")


async def test_tokeninfo_says_what_is_behind_a_token(site: Site) -> None:
    """Scopes and time left are told, the address only to those who asked for it, and nothing of a dead token."""

    def ask(token: str) -> Answer:
        with site.session() as session:
            answer: Answer = session.get(
                f"{site.issuer.url}tokeninfo", params={"access_token": token}, timeout=5
            ).json()
            return answer

    plain = site.issuer.mint(ANNA, [MAIL_SCOPE], site.client.client_id)
    named = site.issuer.mint(ANNA, [MAIL_SCOPE, "email"], site.client.client_id)
    info = await asyncio.to_thread(ask, plain)
    assert (info["scope"], info["aud"], int(info["expires_in"]) in range(3590, 3600)) == (
        MAIL_SCOPE,
        site.client.client_id,
        True,
    )
    assert ("email" in info, (await asyncio.to_thread(ask, named))["email"]) == (False, ANNA)
    site.ahead = 3600
    dead = {"error": "invalid_token", "error_description": "Invalid Value"}
    assert [await asyncio.to_thread(ask, token) for token in (plain, "ya29.nonsense")] == [dead, dead]


async def test_a_client_may_prove_itself_by_basic_authentication(site: Site) -> None:
    """The secret may come in the header (RFC 6749 2.3.1) as well as in the form."""
    token = (await asyncio.to_thread(site.sign_in))["refresh_token"]
    with site.session() as session:
        answer = await asyncio.to_thread(
            session.post,
            site.issuer.token_uri,
            data={"grant_type": "refresh_token", "refresh_token": token},
            auth=(site.client.client_id, site.client.secret),
            timeout=5,
        )
    assert answer.status_code == 200
