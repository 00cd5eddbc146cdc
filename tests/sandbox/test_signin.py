"""The sandbox's issuer answers real MSAL as Entra does when a user signs in, and to a client that others vouch for."""

import asyncio
import ssl
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jwt
import msal
import pytest
import requests

from smtpcheck.sandbox.certificates import Authority, Certificate
from smtpcheck.sandbox.directory import PERSONAL_TENANT, Accounts, App, ClientSecret, FederatedCredential, Tenant, User
from smtpcheck.sandbox.entra import EntraError
from smtpcheck.sandbox.exchange import AUDIENCES, Exchange
from smtpcheck.sandbox.issuer import GRAPH, OUTLOOK, Issuer
from smtpcheck.sandbox.mail_service import Mailbox
from smtpcheck.sandbox.smtp_session import Listener, Session
from smtpcheck.sandbox.tokens import SigningKey
from tests.worlds.managed_identity_endpoint import ManagedIdentity, ManagedIdentityEndpoint

DOMAIN = "contoso.onmicrosoft.com"
ANNA, BEN, CLEO = "anna@contoso.example", "ben@fabrikam.example", "cleo@outlook.example"
SEND = "https://outlook.office.com/SMTP.Send"
DAY = 86400.0
Answer = dict[str, Any]


class Site:
    """A running issuer with an app for everybody, three users of three kinds, and MSAL for it."""

    def __init__(self, ca_file: Path) -> None:
        self.ca_file = ca_file
        self.app = App(
            str(uuid.uuid4()),
            "abc8Q~right",
            public=True,
            accounts=Accounts.ALL_TENANTS_AND_PERSONAL,
        )
        self.tenant = Tenant(str(uuid.uuid4()), DOMAIN, {self.app.client_id: self.app}, users=[User(ANNA, "Anna")])
        self.issuer = Issuer(
            [
                self.tenant,
                Tenant(str(uuid.uuid4()), "fabrikam.onmicrosoft.com", {}, users=[User(BEN)]),
                Tenant(PERSONAL_TENANT, "live.com", {}, users=[User(CLEO)]),
            ]
        )
        self.now = time.time()
        self.issuer.sign_ins.clock = lambda: self.now

    @contextmanager
    def session(self) -> Iterator[requests.Session]:
        with requests.Session() as session:
            session.trust_env = False
            session.verify = str(self.ca_file)
            yield session

    def msal(self, work: Callable[[Any], Answer], tenant: str = "common") -> Answer:
        with self.session() as session:
            client = msal.PublicClientApplication(
                self.app.client_id,
                authority=self.issuer.url + tenant,
                instance_discovery=False,
                http_client=session,
            )
            return work(client)

    def sign_in(self, address: str, tenant: str = "common", scope: str = SEND) -> Answer:
        """Sign in by MSAL as the user, who approves at once."""
        self.issuer.sign_ins.visitor = address

        def work(client: Any) -> Answer:
            answer: Answer = client.acquire_token_by_device_flow(client.initiate_device_flow([scope]))
            return answer

        return self.msal(work, tenant)

    def refresh(self, token: str, tenant: str = "common", scope: str = SEND) -> Answer:
        return self.msal(lambda client: client.acquire_token_by_refresh_token(token, [scope]), tenant)

    def poll(self, device_code: str, tenant: str = "common") -> Answer:
        return self.post(
            f"{tenant}/oauth2/v2.0/token",
            grant_type="urn:ietf:params:oauth:grant-type:device_code",
            device_code=device_code,
        )

    def post(self, path: str, **form: str) -> Answer:
        with self.session() as session:
            form = {"client_id": self.app.client_id} | form
            answer: Answer = session.post(self.issuer.url + path, data=form, timeout=5).json()
            return answer

    def device_code(self, tenant: str = "common") -> Answer:
        return self.post(f"{tenant}/oauth2/v2.0/devicecode", scope=f"{SEND} offline_access openid profile")


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    authority = Authority()
    ca_file = tmp_path / "ca.pem"
    ca_file.write_bytes(authority.pem)
    site = Site(ca_file)
    await site.issuer.start(authority.server_context(Certificate.VALID))
    try:
        yield site
    finally:
        await site.issuer.close()


def told(answer: Answer) -> tuple[str, list[int]]:
    return answer["error"], answer["error_codes"]


@pytest.mark.parametrize("tenant", ["common", "organizations", DOMAIN])
async def test_a_user_signs_in_by_device_code(site: Site, tenant: str) -> None:
    """MSAL gets access, refresh and ID token of whoever approved, with the claims of a user and no roles."""
    answer = await asyncio.to_thread(site.sign_in, ANNA, tenant)
    claims = site.issuer.key.verify(answer["access_token"], AUDIENCES)
    assert claims is not None
    user = site.tenant.users[0]
    expected = {
        "aud": "https://outlook.office.com",
        "scp": "SMTP.Send",
        "upn": ANNA,
        "name": "Anna",
        "oid": user.object_id,
        "tid": site.tenant.id,
        "idtyp": "user",
        "appid": site.app.client_id,
        "roles": None,
    }
    assert {name: claims.get(name) for name in expected} == expected
    assert answer["scope"] == SEND
    assert answer["id_token_claims"]["preferred_username"] == ANNA
    assert answer["id_token_claims"]["aud"] == site.app.client_id
    assert len(answer["refresh_token"]) > 900


async def test_a_users_token_opens_the_own_mailbox_alone(site: Site) -> None:
    """Exchange takes the tokens of work and personal accounts for their own mailbox, and for no other."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    exchange = Exchange(site.issuer.key, site.tenant.id, [Mailbox(ANNA), Mailbox(CLEO)])
    tokens = {who: (await asyncio.to_thread(site.sign_in, who))["access_token"] for who in (ANNA, CLEO)}
    replies = {
        (who, mailbox): exchange.login(Session(exchange, Listener(), context, 1), mailbox, tokens[who]).reply[:3]
        for who in (ANNA, CLEO)
        for mailbox in (ANNA, CLEO)
    }
    assert replies == {(ANNA, ANNA): "235", (ANNA, CLEO): "535", (CLEO, ANNA): "535", (CLEO, CLEO): "235"}


@pytest.mark.parametrize("tenant", ["common", "consumers"])
async def test_a_personal_account_gets_opaque_tokens(site: Site, tenant: str) -> None:
    """Neither access nor refresh token says anything to its bearer, and both work."""
    answer = await asyncio.to_thread(site.sign_in, CLEO, tenant)
    again = await asyncio.to_thread(site.refresh, answer["refresh_token"], tenant)
    assert [answer["access_token"][:3], again["access_token"][:3]] == ["EwB", "EwB"]
    assert answer["refresh_token"].startswith("M.C507_")
    assert 1400 < len(answer["access_token"]) < 2600
    assert site.issuer.key.verify(answer["access_token"], [GRAPH]) is None
    assert site.issuer.key.verify(f"EwB{answer['access_token'][4:]}", AUDIENCES) is None
    assert answer["id_token_claims"]["tid"] == PERSONAL_TENANT
    site.issuer.sign_ins.lifetime = -1
    ended = await asyncio.to_thread(site.refresh, answer["refresh_token"], tenant)
    assert site.issuer.key.verify(ended["access_token"], AUDIENCES) is None


async def test_a_user_signs_in_where_the_account_belongs(site: Site) -> None:
    """A user of another tenant, or a personal account among organisations, cannot approve, and nobody unknown can."""
    refusals = []
    for tenant, address in ((DOMAIN, BEN), ("organizations", CLEO), ("consumers", ANNA), ("common", "who@x.example")):
        device = await asyncio.to_thread(site.device_code, tenant)
        with pytest.raises(EntraError) as caught:
            site.issuer.sign_ins.approve(device["user_code"], address)
        refusals.append(caught.value.code)
    assert refusals == [50020, 50020, 50020, 50034]
    assert "access_token" in await asyncio.to_thread(site.sign_in, BEN, "common")


async def test_a_device_code_is_as_entra_gives_it(site: Site) -> None:
    """Code, page, message, times and interval are all there."""
    device = await asyncio.to_thread(site.device_code)
    assert device == {
        "user_code": device["user_code"],
        "device_code": device["device_code"],
        "verification_uri": f"{site.issuer.url}device",
        "expires_in": 900,
        "interval": 5,
        "message": f"To sign in, use a web browser to open the page {site.issuer.url}device and enter the code "
        f"{device['user_code']} to authenticate.",
    }
    assert len(device["user_code"]) == 9
    assert site.issuer.device_requests == {site.app.client_id: 1}


async def test_the_page_for_devices_decides_too(site: Site) -> None:
    """The address that a device shows leads to a page that approves and declines, once for each code."""

    def work() -> tuple[list[int], list[Answer]]:
        approved, declined = site.device_code(), site.device_code()
        page = approved["verification_uri"]
        with site.session() as session:
            assert "Enter the code" in session.get(page, timeout=5).text
            forms = [
                {"code": approved["user_code"], "user": "nobody@x.example"},
                {"code": approved["user_code"].lower(), "user": ANNA},
                {"code": approved["user_code"], "user": ANNA},
                {"code": declined["user_code"], "decline": "1"},
            ]
            statuses = [session.post(page, data=form, timeout=5).status_code for form in forms]
        return statuses, [site.poll(device["device_code"]) for device in (approved, declined)]

    statuses, polls = await asyncio.to_thread(work)
    assert statuses == [400, 200, 400, 200]
    assert "access_token" in polls[0]
    assert told(polls[1]) == ("authorization_declined", [65004])


async def test_each_poll_has_its_answer(site: Site) -> None:
    """Waiting, haste, a refusal, the end and a code used before are told apart."""
    sign_ins = site.issuer.sign_ins
    device, declined, late = [await asyncio.to_thread(site.device_code) for _ in range(3)]
    polls = [await asyncio.to_thread(site.poll, device["device_code"]) for _ in range(2)]
    site.now += 9
    polls.append(await asyncio.to_thread(site.poll, device["device_code"]))
    site.now += 15
    sign_ins.approve(device["user_code"], ANNA)
    assert "access_token" in await asyncio.to_thread(site.poll, device["device_code"])
    polls.append(await asyncio.to_thread(site.poll, device["device_code"]))
    sign_ins.decline(declined["user_code"])
    polls.append(await asyncio.to_thread(site.poll, declined["device_code"]))
    site.now += 900
    polls.append(await asyncio.to_thread(site.poll, late["device_code"]))
    assert [told(poll) for poll in polls] == [
        ("authorization_pending", [70016]),
        ("slow_down", [70016]),
        ("authorization_pending", [70016]),
        ("bad_verification_code", [70018]),
        ("authorization_declined", [65004]),
        ("expired_token", [70020]),
    ]
    assert polls[0]["error_description"].startswith(
        "AADSTS70016: OAuth 2.0 device flow error. Authorization is pending. Continue polling. Trace ID:"
    )
    with pytest.raises(KeyError):
        sign_ins.approve(device["user_code"], ANNA)


async def test_a_refresh_token_is_renewed_and_the_old_one_goes_on(site: Site) -> None:
    """Each use gives a new one; old and new both work until each has rested for 90 days."""
    first = (await asyncio.to_thread(site.sign_in, ANNA))["refresh_token"]
    site.now += 60 * DAY
    second = (await asyncio.to_thread(site.refresh, first))["refresh_token"]
    assert second != first
    site.now += 60 * DAY
    assert "access_token" in await asyncio.to_thread(site.refresh, first)
    site.now += 31 * DAY
    answer = await asyncio.to_thread(site.refresh, second)
    assert told(answer) == ("invalid_grant", [700082])
    assert "and was inactive for 90.00:00:00." in answer["error_description"]
    assert "access_token" in await asyncio.to_thread(site.refresh, first)


def _revoked_token(site: Site, token: str) -> None:
    site.issuer.sign_ins.revoke(token)


def _changed_password(site: Site, token: str) -> None:
    site.tenant.users[0].valid_from = site.now + 1


def _disabled_user(site: Site, token: str) -> None:
    site.tenant.users[0].disabled = True


def _deleted_user(site: Site, token: str) -> None:
    site.tenant.users.clear()


def _withdrawn_consent(site: Site, token: str) -> None:
    site.app.delegated = ()


def _disabled_app(site: Site, token: str) -> None:
    site.app.disabled = True


def _no_public_flows(site: Site, token: str) -> None:
    site.app.public = False


def _one_tenant(site: Site, token: str) -> None:
    site.app.accounts = Accounts.ONE_TENANT


@pytest.mark.parametrize(
    ("change", "error", "code"),
    [
        (_revoked_token, "invalid_grant", 70008),
        (_changed_password, "invalid_grant", 50173),
        (_disabled_user, "invalid_grant", 50057),
        (_deleted_user, "invalid_grant", 500341),
        (_withdrawn_consent, "invalid_grant", 65001),
        (_disabled_app, "unauthorized_client", 7000112),
        (_no_public_flows, "invalid_client", 7000218),
        (_one_tenant, "invalid_request", 50194),
    ],
)
async def test_what_ends_a_refresh_token(
    site: Site, change: Callable[[Site, str], None], error: str, code: int
) -> None:
    """Each end of token, user, consent and application has its own code."""
    token = (await asyncio.to_thread(site.sign_in, ANNA))["refresh_token"]
    change(site, token)
    assert told(await asyncio.to_thread(site.refresh, token)) == (error, [code])


@pytest.mark.parametrize("end", ["revoked", "unused", "password"])
async def test_a_personal_accounts_refresh_token_ends_with_one_code(site: Site, end: str) -> None:
    """For a personal account every end is 70000."""
    token = (await asyncio.to_thread(site.sign_in, CLEO))["refresh_token"]
    match end:
        case "revoked":
            site.issuer.sign_ins.revoke(token)
        case "unused":
            site.now += 91 * DAY
        case _:
            site.issuer.tenants[2].users[0].valid_from = site.now + 1
    assert told(await asyncio.to_thread(site.refresh, token)) == ("invalid_grant", [70000])


async def test_a_refresh_token_that_never_was_is_malformed(site: Site) -> None:
    """Garbage, and the token of another application, are 9002313."""
    token = (await asyncio.to_thread(site.sign_in, ANNA))["refresh_token"]
    other = App(str(uuid.uuid4()), "", public=True, accounts=Accounts.ALL_TENANTS)
    site.tenant.apps[other.client_id] = other
    site.app = other
    answers = [await asyncio.to_thread(site.refresh, one) for one in ("1.nonsense", token)]
    assert [told(answer) for answer in answers] == [("invalid_request", [9002313])] * 2


async def test_a_device_code_is_of_its_client_alone(site: Site) -> None:
    """Another application polls in vain, and the first one still gets its tokens."""
    device = await asyncio.to_thread(site.device_code)
    site.issuer.sign_ins.approve(device["user_code"], ANNA)
    mine, site.app = site.app, App(str(uuid.uuid4()), "", public=True, accounts=Accounts.ALL_TENANTS)
    site.tenant.apps[site.app.client_id] = site.app
    assert told(await asyncio.to_thread(site.poll, device["device_code"])) == ("bad_verification_code", [70018])
    site.app = mine
    assert "access_token" in await asyncio.to_thread(site.poll, device["device_code"])


async def test_a_refresh_token_is_of_its_users_tenant(site: Site) -> None:
    """At another tenant, or the path of personal accounts, the user is a stranger."""
    token = (await asyncio.to_thread(site.sign_in, BEN))["refresh_token"]
    answers = [await asyncio.to_thread(site.refresh, token, tenant) for tenant in (DOMAIN, "consumers")]
    assert [told(answer) for answer in answers] == [("interaction_required", [50020])] * 2


@pytest.mark.parametrize(
    ("scope", "error", "code"),
    [
        (f"{SEND} https://graph.microsoft.com/Mail.Send", "invalid_scope", 700022),
        ("openid offline_access", "invalid_scope", 70011),
        ("https://example.org/SMTP.Send", "invalid_resource", 500011),
    ],
)
async def test_a_token_is_for_one_resource(site: Site, scope: str, error: str, code: int) -> None:
    """Two resources, none, and an unknown one are refused before anybody signs in."""
    answer = await asyncio.to_thread(site.post, "common/oauth2/v2.0/devicecode", scope=scope)
    assert told(answer) == (error, [code])


async def test_the_consumers_path_wants_an_application_for_them(site: Site) -> None:
    """An application for organisations alone is refused there."""
    site.app.accounts = Accounts.ALL_TENANTS
    answer = await asyncio.to_thread(site.device_code, "consumers")
    assert told(answer) == ("invalid_request", [9002332])


async def test_an_application_needs_its_tenant(site: Site) -> None:
    """Client credentials at `common` name no tenant."""
    answer = await asyncio.to_thread(
        site.post,
        "common/oauth2/v2.0/token",
        grant_type="client_credentials",
        client_secret="abc8Q~right",
        scope=f"{OUTLOOK}/.default",
    )
    assert told(answer) == ("invalid_request", [50059])


async def test_a_public_client_sends_no_secret(site: Site) -> None:
    """A secret with a user's grant of a public client is 700025."""
    answer = await asyncio.to_thread(
        site.post,
        "common/oauth2/v2.0/token",
        grant_type="refresh_token",
        refresh_token="1.x",
        client_secret="abc8Q~right",
        scope=SEND,
    )
    assert told(answer) == ("invalid_client", [700025])


async def test_everything_that_was_issued_is_remembered(site: Site) -> None:
    """Each token of a sign-in and its device code are in the list for leak tests."""
    answer = await asyncio.to_thread(site.sign_in, ANNA)
    tokens = {answer[name] for name in ("access_token", "refresh_token", "id_token")}
    assert tokens < set(site.issuer.sign_ins.issued)
    assert len(site.issuer.sign_ins.issued) == 4


# Federated credentials


@pytest.fixture(scope="module")
def kubernetes() -> SigningKey:
    return SigningKey()


ISSUER, SUBJECT = "https://oidc.example.org/cluster/", "system:serviceaccount:mail:smtpcheck"


def _federated(site: Site, key: SigningKey, **claims: object) -> Answer:
    """Return what MSAL gets for a service account's token."""
    now = int(time.time())
    standard = {"iss": ISSUER, "sub": SUBJECT, "aud": ["api://AzureADTokenExchange"], "iat": now, "exp": now + 3600}
    assertion = key.sign({**standard, **claims})
    with site.session() as session:
        client = msal.ConfidentialClientApplication(
            site.app.client_id,
            authority=site.issuer.url + DOMAIN,
            client_credential={"client_assertion": lambda: assertion},
            instance_discovery=False,
            http_client=session,
        )
        answer: Answer = client.acquire_token_for_client([f"{OUTLOOK}/.default"])
        return answer


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({"iss": ISSUER.rstrip("/")}, 700211),
        ({"sub": SUBJECT.upper()}, 700213),
        ({"aud": "https://example.org"}, 700212),
        ({"iss": "https://other.example/", "sub": "x"}, 70021),
        ({"iat": 1_600_000_000, "exp": 1_600_003_600}, 700024),
    ],
)
async def test_a_federated_assertion_is_compared_letter_by_letter(
    site: Site, kubernetes: SigningKey, claims: dict[str, object], code: int
) -> None:
    """Issuer, subject and audience have each their own code, several differences another one, times another."""
    credential = FederatedCredential(ISSUER, SUBJECT, kubernetes.public_pem)
    site.app.federated = (FederatedCredential("https://third.example/", "y", kubernetes.public_pem), credential)
    assert "access_token" in await asyncio.to_thread(_federated, site, kubernetes)
    answer = await asyncio.to_thread(lambda: _federated(site, kubernetes, **claims))
    assert told(answer) == ("invalid_client", [code])


async def test_a_federated_assertion_needs_its_issuers_signature(site: Site, kubernetes: SigningKey) -> None:
    """One signed by another key is 50013, and an application without such credentials takes none of them."""
    assertion = jwt.encode({"iss": ISSUER}, "k" * 32, "HS256")
    proof = {"client_assertion": assertion, "scope": f"{OUTLOOK}/.default"}
    answer = await asyncio.to_thread(
        lambda: site.post(f"{DOMAIN}/oauth2/v2.0/token", grant_type="client_credentials", **proof)
    )
    assert told(answer) == ("invalid_client", [70025])
    site.app.federated = (FederatedCredential(ISSUER, SUBJECT, SigningKey().public_pem),)
    assert told(await asyncio.to_thread(_federated, site, kubernetes)) == ("invalid_client", [50013])


# Managed identities


@pytest.fixture
async def endpoint(site: Site) -> AsyncIterator[ManagedIdentityEndpoint]:
    mine = ManagedIdentity(resource_id="/subscriptions/0/resourceGroups/mail/userAssignedIdentities/mine", roles=())
    endpoint = ManagedIdentityEndpoint(site.issuer, [ManagedIdentity(), mine])
    await endpoint.start()
    try:
        yield endpoint
    finally:
        await endpoint.close()


def _managed(endpoint: ManagedIdentityEndpoint, identity: object, resource: str = OUTLOOK) -> Answer:
    with pytest.MonkeyPatch.context() as patch, requests.Session() as session:
        session.trust_env = False
        for name, value in endpoint.environment.items():
            patch.setenv(name, value)
        client = msal.ManagedIdentityClient(identity, http_client=session)
        answer: Answer = client.acquire_token_for_client(resource=resource)
        return answer


async def test_managed_identities_get_their_tokens(site: Site, endpoint: ManagedIdentityEndpoint) -> None:
    """MSAL gets a day's token for the system's identity and for one of a user's by each of its three names."""
    system, mine = endpoint.identities
    identities = [
        (msal.SystemAssignedManagedIdentity(), system),
        (msal.UserAssignedManagedIdentity(client_id=mine.client_id), mine),
        (msal.UserAssignedManagedIdentity(object_id=mine.object_id), mine),
        (msal.UserAssignedManagedIdentity(resource_id=mine.resource_id), mine),
    ]
    for asked, expected in identities:
        answer = await asyncio.to_thread(_managed, endpoint, asked)
        claims = site.issuer.key.verify(answer["access_token"], AUDIENCES)
        assert claims is not None
        found = (claims["appid"], claims["oid"], claims.get("roles", []))
        assert found == (expected.client_id, expected.object_id, list(expected.roles))
        assert 86300 < answer["expires_in"] <= 86400
    assert endpoint.requests == 4


async def test_a_managed_identity_is_refused_as_app_service_does(site: Site, endpoint: ManagedIdentityEndpoint) -> None:
    """An identity that is not assigned, a resource that is none, and a wrong header."""
    system = msal.SystemAssignedManagedIdentity()
    unknown = msal.UserAssignedManagedIdentity(client_id=str(uuid.uuid4()))
    answers = [
        await asyncio.to_thread(_managed, endpoint, unknown),
        await asyncio.to_thread(_managed, endpoint, system, "https://example.org"),
    ]
    environment = endpoint.environment
    endpoint.header = "changed"
    url = f"{environment['IDENTITY_ENDPOINT']}?api-version=2019-08-01&resource={OUTLOOK}"
    headers = {"X-IDENTITY-HEADER": environment["IDENTITY_HEADER"]}
    refused = await asyncio.to_thread(requests.get, url, headers=headers, timeout=5)
    assert [answer["error_description"].partition(",")[0] for answer in answers] == ["400", "500"]
    assert answers[0]["error_description"].startswith("400, No User Assigned or Delegated Managed Identity found")
    assert (refused.status_code, refused.json()) == (401, {"statusCode": 401, "message": "Unauthorized"})


# Microsoft Graph


def _application(site: Site, token: str, client_id: str, select: str = "") -> tuple[int, Answer]:
    with site.session() as session:
        url = f"{site.issuer.url}v1.0/applications(appId='{client_id}')"
        params = {"$select": select} if select else {}
        response = session.get(url, params=params, headers={"Authorization": f"Bearer {token}"}, timeout=5)
        return response.status_code, response.json()


async def test_graph_tells_the_ends_of_secrets_and_certificates(site: Site) -> None:
    """With the permission each secret has its end and its first three characters, each certificate its thumbprint."""
    _, certificate = Authority().client_credential("smtpcheck")
    site.app.certificates = (certificate.encode(),)
    site.app.secret_ends = 1_900_000_000.0
    site.app.further_secrets = (ClientSecret("xyz8Q~other", 1_950_000_000.0, "second"),)
    site.app.graph_roles = ("Application.Read.All",)
    token = (await asyncio.to_thread(_acquire, site, f"{GRAPH}/.default", "xyz8Q~other"))["access_token"]
    select = "id,appId,displayName,passwordCredentials,keyCredentials"
    status, answer = await asyncio.to_thread(_application, site, token, site.app.client_id, select)
    secrets = [(one["hint"], one["endDateTime"], one["secretText"]) for one in answer["passwordCredentials"]]
    assert (status, answer["appId"], answer["id"]) == (200, site.app.client_id, site.app.object_id)
    assert secrets == [("abc", "2030-03-17T17:46:40Z", None), ("xyz", "2031-10-17T10:40:00Z", None)]
    assert [(key["type"], len(key["customKeyIdentifier"])) for key in answer["keyCredentials"]] == [
        ("AsymmetricX509Cert", 40)
    ]
    assert answer.keys() == {"@odata.context", *select.split(",")}


def _acquire(site: Site, scope: str, secret: str) -> Answer:
    return site.post(f"{DOMAIN}/oauth2/v2.0/token", grant_type="client_credentials", client_secret=secret, scope=scope)


async def test_graph_refuses_as_graph_does(site: Site) -> None:
    """Without the permission, with another resource's token, without any, and for an unknown application."""
    plain = (await asyncio.to_thread(_acquire, site, f"{GRAPH}/.default", "abc8Q~right"))["access_token"]
    site.app.graph_roles = ("Application.Read.All",)
    reader = (await asyncio.to_thread(_acquire, site, f"{GRAPH}/.default", "abc8Q~right"))["access_token"]
    outlook = (await asyncio.to_thread(_acquire, site, f"{OUTLOOK}/.default", "abc8Q~right"))["access_token"]
    asked = [(plain, site.app.client_id), (outlook, site.app.client_id), ("", site.app.client_id), (reader, "x")]
    answers = [await asyncio.to_thread(_application, site, token, client_id) for token, client_id in asked]
    assert [(status, answer["error"]["code"]) for status, answer in answers] == [
        (403, "Authorization_RequestDenied"),
        (401, "InvalidAuthenticationToken"),
        (401, "InvalidAuthenticationToken"),
        (404, "Request_ResourceNotFound"),
    ]
    assert answers[0][1]["error"]["message"] == "Insufficient privileges to complete the operation."


async def test_each_secret_of_an_application_works_until_its_own_end(site: Site) -> None:
    """The second secret is as good as the first, and the end of one is not that of the other."""
    site.app.further_secrets = (ClientSecret("xyz8Q~other", time.time() + 60), ClientSecret("old8Q~other", 1.0))
    site.app.secret_expired = True
    scope = f"{OUTLOOK}/.default"
    answers = {one: await asyncio.to_thread(_acquire, site, scope, f"{one}8Q~other") for one in ("xyz", "old", "new")}
    answers["abc"] = await asyncio.to_thread(_acquire, site, scope, "abc8Q~right")
    codes = {one: answer.get("error_codes", [0])[0] for one, answer in answers.items()}
    assert codes == {"xyz": 0, "old": 7000222, "new": 7000215, "abc": 7000222}
