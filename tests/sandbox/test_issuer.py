"""The sandbox's issuer answers real MSAL as Entra does."""

import asyncio
import base64
import json
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jwt
import msal
import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from smtpcheck.sandbox.certificates import Authority, Certificate
from smtpcheck.sandbox.entra import ERRORS
from smtpcheck.sandbox.issuer import GRAPH, OUTLOOK, App, Issuer, IssuerFailure, Tenant
from tests.worlds.waiting import HANG_SECONDS

SECRET = "abc8Q~right"
SCOPE = f"{OUTLOOK}/.default"
DOMAIN = "contoso.onmicrosoft.com"


class Site:
    """A running issuer with one app, and a client that trusts it."""

    def __init__(self, ca_file: str, issuer: Issuer, app: App, private_key: str) -> None:
        self.ca_file, self.issuer, self.app, self.private_key = ca_file, issuer, app, private_key
        self.tenant = issuer.tenants[0]

    @contextmanager
    def session(self) -> Iterator[requests.Session]:
        with requests.Session() as session:
            session.trust_env = False
            session.verify = self.ca_file
            yield session

    def acquire(
        self, credential: object = SECRET, *, scope: str = SCOPE, client_id: str = "", tenant: str = DOMAIN
    ) -> dict[str, Any]:
        with self.session() as session:
            client = msal.ConfidentialClientApplication(
                client_id or self.app.client_id,
                authority=self.issuer.url + tenant,
                client_credential=credential,
                instance_discovery=False,
                http_client=session,
            )
            answer: dict[str, Any] = client.acquire_token_for_client([scope])
            return answer

    def post(self, tenant: str = DOMAIN, **form: str) -> requests.Response:
        with self.session() as session:
            return session.post(f"{self.issuer.url}{tenant}/oauth2/v2.0/token", data=form, timeout=5)

    def get(self, path: str) -> requests.Response:
        with self.session() as session:
            return session.get(self.issuer.url + path, timeout=5)

    def claims(self, token: str) -> dict[str, Any]:
        keys = self.get(f"{DOMAIN}/discovery/v2.0/keys").json()["keys"]
        key = jwt.PyJWK(next(key for key in keys if key["kid"] == jwt.get_unverified_header(token)["kid"]))
        claims: dict[str, Any] = jwt.decode(token, key, algorithms=["RS256"], options={"verify_aud": False})
        return claims

    def assertion(self, **claims: object) -> str:
        now = int(time.time())
        standard: dict[str, object] = {
            "aud": f"{self.issuer.url}{DOMAIN}/oauth2/v2.0/token",
            "iss": self.app.client_id,
            "sub": self.app.client_id,
            "nbf": now,
            "exp": now + 600,
            "jti": str(uuid.uuid4()),
        }
        return jwt.encode(standard | claims, self.private_key, "RS256", {"x5t": self.thumbprint()})

    def thumbprint(self) -> str:
        certificate = x509.load_pem_x509_certificate(self.app.certificates[0])
        return base64.urlsafe_b64encode(certificate.fingerprint(hashes.SHA1())).decode()


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture(scope="module")
def client_credential(authority: Authority) -> tuple[str, str]:
    return authority.client_credential("smtpcheck")


@pytest.fixture
async def site(authority: Authority, client_credential: tuple[str, str], tmp_path: Path) -> AsyncIterator[Site]:
    ca_file = tmp_path / "ca.pem"
    ca_file.write_bytes(authority.pem)
    key, certificate = client_credential
    app = App(str(uuid.uuid4()), SECRET, certificates=(certificate.encode(),))
    issuer = Issuer([Tenant(str(uuid.uuid4()), DOMAIN, {app.client_id: app})])
    await issuer.start(authority.server_context(Certificate.VALID))
    try:
        yield Site(str(ca_file), issuer, app, key)
    finally:
        await issuer.close()


async def test_msal_gets_a_token_by_secret(site: Site) -> None:
    """MSAL gets a signed v1.0 token with the claims of an application."""
    answer = await asyncio.to_thread(site.acquire)
    claims = await asyncio.to_thread(site.claims, answer["access_token"])
    expected = {
        "aud": OUTLOOK,
        "iss": f"https://sts.windows.net/{site.tenant.id}/",
        "tid": site.tenant.id,
        "appid": site.app.client_id,
        "idtyp": "app",
        "roles": ["SMTP.SendAsApp"],
        "ver": "1.0",
    }
    assert {name: claims.get(name) for name in expected} == expected
    assert claims["exp"] - claims["iat"] == answer["expires_in"] == 3599
    assert jwt.get_unverified_header(answer["access_token"])["typ"] == "JWT"
    assert 1500 <= len(answer["access_token"]) <= 2200
    assert site.issuer.token_requests == {site.app.client_id: 1}
    assert site.issuer.discovery_requests == {DOMAIN: 1}
    assert site.issuer.minted == [answer["access_token"]]


async def test_the_tenant_may_be_named_by_its_id(site: Site) -> None:
    """The tenant's id in the path is as good as its domain."""
    assert "access_token" in await asyncio.to_thread(site.acquire, tenant=site.tenant.id)


async def test_a_graph_scope_gives_a_graph_token(site: Site) -> None:
    """The scope's resource becomes the audience, with that resource's roles."""
    answer = await asyncio.to_thread(site.acquire, scope=f"{GRAPH}/.default")
    claims = await asyncio.to_thread(site.claims, answer["access_token"])
    assert (claims["aud"], claims["roles"]) == (GRAPH, ["Mail.Send"])


@pytest.mark.parametrize("by_thumbprint", [True, False])
async def test_msal_gets_a_token_by_certificate(site: Site, by_thumbprint: bool) -> None:
    """MSAL's assertion is accepted as RS256 with x5t and as PS256 with x5t#S256."""
    certificate = site.app.certificates[0]
    credential = {"private_key": site.private_key, "public_certificate": certificate.decode()}
    if by_thumbprint:
        credential["thumbprint"] = x509.load_pem_x509_certificate(certificate).fingerprint(hashes.SHA1()).hex()
    answer = await asyncio.to_thread(site.acquire, credential)
    assert "access_token" in answer
    header = jwt.get_unverified_header(site.issuer.assertions[0])
    assert header["alg"] == ("RS256" if by_thumbprint else "PS256")


async def test_a_certificate_that_is_not_registered_is_refused(site: Site) -> None:
    """An assertion by another certificate is 700027: the key was not found."""
    key, certificate = Authority().client_credential("other")
    answer = await asyncio.to_thread(site.acquire, {"private_key": key, "public_certificate": certificate})
    assert (answer["error"], answer["error_codes"]) == ("invalid_client", [700027])
    assert "The key was not found" in answer["error_description"]


async def test_a_forged_assertion_is_refused(site: Site) -> None:
    """An assertion that names the registered certificate but is signed by another key is 700027."""
    site.private_key, _ = Authority().client_credential("other")
    answer = await asyncio.to_thread(site.acquire, {"client_assertion": site.assertion})
    assert answer["error_codes"] == [700027]
    assert "use of the key to verify the signature failed" in answer["error_description"]


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({"exp": 1_600_000_600, "nbf": 1_600_000_000}, 700024),
        ({"exp": 4_000_000_600, "nbf": 4_000_000_000}, 700024),
        ({"aud": "https://example.org/"}, 700023),
        ({"iss": "another"}, 700021),
        ({"exp": "soon"}, 50027),
    ],
)
async def test_an_assertion_is_judged_by_its_claims(site: Site, claims: dict[str, object], code: int) -> None:
    """Times, audience and names of an assertion have each their own error."""
    answer = await asyncio.to_thread(site.acquire, {"client_assertion": lambda: site.assertion(**claims)})
    assert (answer["error"], answer["error_codes"]) == ("invalid_client", [code])


async def test_an_assertion_that_is_no_jwt_is_refused(site: Site) -> None:
    """Anything that cannot be read as a JWT is 50027."""
    answer = await asyncio.to_thread(site.acquire, {"client_assertion": lambda: "nonsense"})
    assert answer["error_codes"] == [50027]


async def test_an_assertion_without_algorithm_is_refused(site: Site) -> None:
    """An unsigned assertion (alg none) or one with a key of its own kind does not pass."""
    unsigned = jwt.encode({"iss": site.app.client_id}, None, "none", {"x5t": site.thumbprint()})  # type: ignore[arg-type]
    answer = await asyncio.to_thread(site.acquire, {"client_assertion": lambda: unsigned})
    assert answer["error_codes"] == [700027]


async def test_the_error_body_is_entras(site: Site) -> None:
    """A wrong secret gives 401 with every member that Entra sends, and the hint at the secret's ID."""
    response = await asyncio.to_thread(
        site.post,
        client_id=site.app.client_id,
        client_secret=str(uuid.uuid4()),
        scope=SCOPE,
        grant_type="client_credentials",
    )
    body = response.json()
    stamp = body["timestamp"]
    assert response.status_code == 401
    assert body == {
        "error": "invalid_client",
        "error_description": (
            "AADSTS7000215: Invalid client secret provided. Ensure the secret being sent in the request is the client "
            "secret value, not the client secret ID, for a secret added to app "
            f"'{site.app.client_id}'. Trace ID: {body['trace_id']} Correlation ID: {body['correlation_id']} "
            f"Timestamp: {stamp}"
        ),
        "error_codes": [7000215],
        "timestamp": stamp,
        "trace_id": str(uuid.UUID(body["trace_id"])),
        "correlation_id": str(uuid.UUID(body["correlation_id"])),
        "error_uri": "https://login.microsoftonline.com/error?code=7000215",
    }
    assert time.strptime(stamp, "%Y-%m-%d %H:%M:%SZ")


async def test_an_expired_secret_is_told_from_a_wrong_one(site: Site) -> None:
    """The right secret after its end is 7000222."""
    site.app.secret_expired = True
    answer = await asyncio.to_thread(site.acquire)
    assert (answer["error"], answer["error_codes"]) == ("invalid_client", [7000222])
    assert answer["error_description"].startswith("AADSTS7000222: The provided client secret keys for app")


async def test_a_disabled_app_gets_no_token(site: Site) -> None:
    """A disabled app is 7000112, whatever it presents."""
    site.app.disabled = True
    answer = await asyncio.to_thread(site.acquire)
    assert (answer["error"], answer["error_codes"]) == ("unauthorized_client", [7000112])


@pytest.mark.parametrize(
    ("request_", "error", "code"),
    [
        ({"client_id": str(uuid.uuid4())}, "unauthorized_client", 700016),
        ({"scope": f"{OUTLOOK}/SMTP.Send"}, "invalid_scope", 1002012),
        ({"scope": "https://example.org/.default"}, "invalid_resource", 500011),
        ({"scope": "https://outlook.office365.com.example.org/.default"}, "invalid_resource", 500011),
    ],
)
async def test_a_wrong_request_has_its_code(site: Site, request_: dict[str, str], error: str, code: int) -> None:
    """Unknown app, delegated scope and unknown resource are refused with 400 and their own codes."""
    answer = await asyncio.to_thread(site.acquire, **request_)
    assert (answer["error"], answer["error_codes"]) == (error, [code])


@pytest.mark.parametrize(
    ("change", "code", "status"),
    [
        ({"grant_type": "password"}, 70003, 400),
        ({"grant_type": ""}, 900144, 400),
        ({"scope": ""}, 900144, 400),
        ({"client_secret": ""}, 7000218, 401),
    ],
)
async def test_an_incomplete_request_is_refused(site: Site, change: dict[str, str], code: int, status: int) -> None:
    """A request that lacks something, or asks for another grant, is refused before anything is issued."""
    form = {
        "client_id": site.app.client_id,
        "client_secret": SECRET,
        "scope": SCOPE,
        "grant_type": "client_credentials",
    }
    response = await asyncio.to_thread(site.post, **form | change)
    assert (response.status_code, response.json()["error_codes"]) == (status, [code])
    assert site.issuer.minted == []


async def test_an_unknown_tenant_is_refused_at_discovery(site: Site) -> None:
    """An unknown tenant fails in MSAL's constructor, with 90002 in what discovery answered."""
    response = await asyncio.to_thread(site.get, "nowhere.example/v2.0/.well-known/openid-configuration")
    body = response.json()
    assert (response.status_code, body["error"], body["error_codes"]) == (400, "invalid_tenant", [90002])
    with pytest.raises(ValueError, match="Unable to get authority configuration"):
        await asyncio.to_thread(site.acquire, tenant="nowhere.example")


async def test_the_correlation_id_is_the_clients(site: Site) -> None:
    """The id that a client sends comes back in the error."""
    sent = str(uuid.uuid4())

    def ask() -> requests.Response:
        with site.session() as session:
            url = f"{site.issuer.url}nowhere.example/oauth2/v2.0/token"
            return session.post(url, headers={"client-request-id": sent}, timeout=5)

    assert (await asyncio.to_thread(ask)).json()["correlation_id"] == sent


async def test_instance_discovery_names_the_issuer(site: Site) -> None:
    """The document of instance discovery points at this issuer alone."""
    host = f"localhost:{site.issuer.port}"
    document = (await asyncio.to_thread(site.get, "common/discovery/instance")).json()
    assert document["metadata"] == [{"preferred_network": host, "preferred_cache": host, "aliases": [host]}]


@pytest.mark.parametrize(
    ("failure", "status", "retry_after", "content_type"),
    [
        (IssuerFailure(code=90055, retry_after=60), 429, "60", "application/json"),
        (IssuerFailure(code=50196), 400, None, "application/json"),
        (IssuerFailure(html=503), 503, None, "text/html"),
        (IssuerFailure(html=429, retry_after=7), 429, "7", "text/html"),
    ],
)
async def test_trouble_comes_instead_of_a_token(
    site: Site, failure: IssuerFailure, status: int, retry_after: str | None, content_type: str
) -> None:
    """An app in trouble gets that answer to every request, with Retry-After if there is one."""
    site.app.failure = failure
    response = await asyncio.to_thread(site.post, client_id=site.app.client_id)
    kind = response.headers["Content-Type"].partition(";")[0]
    assert (response.status_code, response.headers.get("Retry-After"), kind) == (status, retry_after, content_type)
    assert site.issuer.token_requests == {site.app.client_id: 1}


async def test_a_tenants_trouble_meets_discovery(site: Site) -> None:
    """A tenant in trouble answers discovery with it too."""
    site.tenant.failure = IssuerFailure(html=503)
    response = await asyncio.to_thread(site.get, f"{DOMAIN}/v2.0/.well-known/openid-configuration")
    assert response.status_code == 503


async def test_a_slow_issuer_answers_late_and_does_not_hold_up_the_end(site: Site) -> None:
    """A delay outlasts the client's patience, and closing does not wait for it."""
    site.app.failure = IssuerFailure(delay=3600)

    def ask() -> None:
        with site.session() as session:
            url = f"{site.issuer.url}{DOMAIN}/oauth2/v2.0/token"
            session.post(url, data={"client_id": site.app.client_id}, timeout=(5, 0.2))

    with pytest.raises(requests.ReadTimeout):
        await asyncio.to_thread(ask)
    await asyncio.wait_for(site.issuer.close(), HANG_SECONDS)


async def test_a_token_can_be_minted_with_other_claims(site: Site) -> None:
    """A test may add, change and leave out claims; the published key verifies the token."""
    token = site.issuer.mint(preferred_username="billing@contoso.example", roles=None, exp=4_000_000_000)
    key = serialization.load_pem_public_key(site.issuer.public_key_pem.encode())
    claims = jwt.decode(token, key, algorithms=["RS256"], audience=OUTLOOK)  # type: ignore[arg-type]
    found = (claims["preferred_username"], "roles" in claims, claims["exp"])
    assert found == ("billing@contoso.example", False, 4_000_000_000)


def test_every_error_can_be_filled_in() -> None:
    """No error of the table wants a value that its place does not give."""
    fields = {"client_id", "name", "tenant", "now", "start", "end", "reason", "thumbprint", "scope", "resource"}
    fields |= {"parameter", "grant_type", "path", "issued", "valid_from", "issuer", "subject", "audience"}
    texts = json.dumps([entry.text.format_map(dict.fromkeys(fields, "x")) for entry in ERRORS.values()])
    assert "{" not in texts.replace("{EmailHidden}", "")  # which Entra itself writes
