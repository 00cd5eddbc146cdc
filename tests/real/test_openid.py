"""A certified OpenID provider as issuer: each way to a token there, by MSAL too, and Dovecot taking the tokens."""

import base64
import smtplib
import time
import uuid
from collections.abc import Iterator
from typing import Any

import jwt
import msal
import pytest
import requests

from tests.real.mail import Certificates, Dovecot
from tests.real.openid import MAILBOX, OpenIDProvider
from tests.real.tokens import AUDIENCE, SCOPE

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
Answer = dict[str, Any]


@pytest.fixture
def session(openid: OpenIDProvider) -> Iterator[requests.Session]:
    with openid.session() as session:
        yield session


@pytest.fixture(scope="session")
def document(openid: OpenIDProvider) -> Answer:
    with openid.session() as session:
        found: Answer = session.get(f"{openid.issuer}/.well-known/openid-configuration", timeout=10).json()
        return found


def _claims(openid: OpenIDProvider, token: str) -> Answer:
    claims: Answer = jwt.decode(token, openid.public_pem, algorithms=["RS256"], audience=AUDIENCE)
    return claims


def _proof(openid: OpenIDProvider, document: Answer, method: str) -> Answer:
    """Return what a client adds to its request, to prove itself by the method."""
    match method:
        case "client_secret_basic":
            return {"auth": ("basic", openid.secret)}
        case "client_secret_post":
            return {"data": {"client_id": "post", "client_secret": openid.secret}}
        case _:
            now = int(time.time())
            claims = {"iss": "assertion", "sub": "assertion", "aud": document["token_endpoint"]}
            times = {"iat": now, "exp": now + 60, "jti": str(uuid.uuid4())}
            signed = jwt.encode({**claims, **times}, openid.private_key, "RS256")
            return {
                "data": {
                    "client_id": "assertion",
                    "client_assertion_type": ASSERTION_TYPE,
                    "client_assertion": signed,
                }
            }


def _login(port: int, certificates: Certificates, token: str) -> int:
    blob = base64.b64encode(f"user={MAILBOX}\x01auth=Bearer {token}\x01\x01".encode()).decode()
    with smtplib.SMTP("localhost", port, "client.test", timeout=10) as client:
        client.starttls(context=certificates.client_context())
        client.ehlo()
        client.docmd("AUTH", "XOAUTH2")
        code, _ = client.docmd(blob)
        return client.docmd("")[0] if code == 334 else code


def _device_tokens(openid: OpenIDProvider, document: Answer, session: requests.Session) -> Answer:
    form = {"client_id": "device", "scope": f"openid {SCOPE}"}
    device = session.post(document["device_authorization_endpoint"], data=form, timeout=10).json()
    poll = {"client_id": "device", "grant_type": DEVICE_GRANT, "device_code": device["device_code"]}
    waiting = session.post(document["token_endpoint"], data=poll, timeout=10).json()
    assert waiting["error"] == "authorization_pending"
    openid.approve(device["verification_uri_complete"])
    tokens: Answer = session.post(document["token_endpoint"], data=poll, timeout=10).json()
    return tokens


def test_discovery_names_the_issuer(openid: OpenIDProvider, document: Answer) -> None:
    """The document is that of the issuer's own address and offers each way that the tests go."""
    assert document["issuer"] == openid.issuer
    assert {"client_secret_basic", "client_secret_post", "private_key_jwt"} <= set(
        document["token_endpoint_auth_methods_supported"]
    )
    assert {"client_credentials", "refresh_token", DEVICE_GRANT} <= set(document["grant_types_supported"])


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post", "private_key_jwt"])
def test_a_client_gets_a_token_by_each_proof(
    openid: OpenIDProvider, document: Answer, session: requests.Session, method: str
) -> None:
    """The token is a JWT of type JWT, signed RS256, that names the mailbox."""
    request = _proof(openid, document, method)
    form = {"grant_type": "client_credentials", "scope": SCOPE, **request.pop("data", {})}
    answer = session.post(document["token_endpoint"], data=form, timeout=10, **request).json()
    header = jwt.get_unverified_header(answer["access_token"])
    assert (header["typ"], header["alg"]) == ("JWT", "RS256")
    claims = _claims(openid, answer["access_token"])
    assert (claims["email"], claims["iss"], claims["scope"]) == (MAILBOX, openid.issuer, SCOPE)


def test_a_wrong_secret_is_refused(openid: OpenIDProvider, document: Answer, session: requests.Session) -> None:
    """The refusal is 401 invalid_client (RFC 6749 section 5.2)."""
    form = {"grant_type": "client_credentials", "client_id": "post", "client_secret": "wrong"}
    answer = session.post(document["token_endpoint"], data=form, timeout=10)
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


def test_a_device_is_approved_by_its_user(openid: OpenIDProvider, document: Answer, session: requests.Session) -> None:
    """The device waits until the user has signed in, then gets the user's tokens."""
    tokens = _device_tokens(openid, document, session)
    assert _claims(openid, tokens["access_token"])["email"] == MAILBOX
    assert {"refresh_token", "id_token"} <= tokens.keys()


def test_a_refresh_token_is_rotated_and_the_old_one_is_dead(
    openid: OpenIDProvider, document: Answer, session: requests.Session
) -> None:
    """Whoever uses an old refresh token ends the whole grant, the new one too (RFC 9700 section 4.14.2)."""
    first = _device_tokens(openid, document, session)["refresh_token"]

    def refresh(token: str) -> Answer:
        form = {"client_id": "device", "grant_type": "refresh_token", "refresh_token": token}
        answer: Answer = session.post(document["token_endpoint"], data=form, timeout=10).json()
        return answer

    second = refresh(first)["refresh_token"]
    third = refresh(second)["refresh_token"]
    assert len({first, second, third}) == 3
    assert [refresh(token)["error"] for token in (first, third)] == ["invalid_grant", "invalid_grant"]


def _msal(openid: OpenIDProvider, session: requests.Session) -> Answer:
    client = msal.ConfidentialClientApplication(
        "post", openid.secret, oidc_authority=openid.issuer, http_client=session
    )
    answer: Answer = client.acquire_token_for_client([SCOPE])
    return answer


def test_msal_gets_a_token(openid: OpenIDProvider, session: requests.Session) -> None:
    """MSAL works with it as a plain OpenID issuer."""
    assert _claims(openid, _msal(openid, session)["access_token"])["email"] == MAILBOX


@pytest.mark.usefixtures("postfix")
def test_dovecot_takes_its_tokens(
    openid: OpenIDProvider,
    document: Answer,
    session: requests.Session,
    openid_dovecot: Dovecot,
    certificates: Certificates,
) -> None:
    """Tokens of an application by MSAL and of a user by device code both log in, and a changed one does not."""
    port = openid_dovecot.ports.submission
    application = _msal(openid, session)["access_token"]
    user = _device_tokens(openid, document, session)["access_token"]
    changed = f"{application[:-8]}{'A' * 8}"
    assert [_login(port, certificates, token) for token in (application, user, changed)] == [235, 235, 535]
