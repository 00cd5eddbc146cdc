"""Our flows at a certified OpenID provider that is not ours, and Dovecot taking the tokens."""

import base64
import smtplib
import threading
from pathlib import Path
from threading import Event

import pytest

from smtpcheck.oauth.answer import TokenResponse
from smtpcheck.oauth.flow import IssuedToken
from smtpcheck.oauth.oauth2 import OAuth2
from smtpcheck.oauth.refresh import first_login
from smtpcheck.oauth.token_store import TokenStore
from smtpcheck.oauth.user_credential import Invitation
from tests.real.mail import Certificates, Dovecot
from tests.real.openid import MAILBOX, OpenIDProvider
from tests.real.tokens import SCOPE


def _credential(openid: OpenIDProvider, certificates: Certificates, **fields: object) -> OAuth2:
    given = {"issuer": openid.issuer, "ca_file": str(certificates.ca), "scope": SCOPE}
    return OAuth2.model_validate(given | fields)


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post", "private_key_jwt"])
def test_a_client_proves_itself_in_each_way(
    openid: OpenIDProvider, certificates: Certificates, tmp_path: Path, method: str
) -> None:
    name = {"client_secret_basic": "basic", "client_secret_post": "post"}.get(method, "assertion")
    key = tmp_path / "key.pem"
    key.write_text(openid.private_key)
    proof: dict[str, object] = {"client_secret": {"value": openid.secret}, "auth_method": method}
    if method == "private_key_jwt":
        proof = {"client_key": {"file": str(key)}}
    answer = _credential(openid, certificates, client_id=name, **proof).flow().request(None)
    assert isinstance(answer, IssuedToken)
    assert answer.token.reveal().count(".") == 2


@pytest.mark.usefixtures("postfix")
def test_a_user_logs_in_the_refresh_token_rotates_and_dovecot_takes_the_token(
    openid: OpenIDProvider, certificates: Certificates, openid_dovecot: Dovecot, tmp_path: Path
) -> None:
    """Reuse of a rotated refresh token would end the whole login: three times in a row it must be the newest."""
    credential = _credential(
        openid, certificates, client_id="device", grant="device_code", scope=f"openid offline_access {SCOPE}"
    )
    threads: list[threading.Thread] = []

    def show(invitation: Invitation) -> None:
        address = f"{invitation.address}?user_code={invitation.code}"
        threads.append(threading.Thread(target=openid.approve, args=(address,)))
        threads[-1].start()

    answer = credential.sign_in(show, Event())
    for thread in threads:
        thread.join()
    assert isinstance(answer, TokenResponse)
    assert answer.account in {MAILBOX, ""}
    file = TokenStore(tmp_path / "tokens").file("anna")
    login = first_login(answer, issuer=credential.login_issuer, client_id="device", now=0.0)
    assert login is not None
    file.write(login)
    seen, tokens = {login.refresh_token}, []
    for _ in range(3):
        granted = credential.flow(file).request(None)
        assert isinstance(granted, IssuedToken)
        tokens.append(granted.token)
        kept = file.read()
        assert kept is not None
        seen.add(kept.refresh_token)
    assert len(seen) == 4
    blob = base64.b64encode(f"user={MAILBOX}\x01auth=Bearer {tokens[-1].reveal()}\x01\x01".encode()).decode()
    with smtplib.SMTP("localhost", openid_dovecot.ports.submission, "client.test", timeout=10) as client:
        client.starttls(context=certificates.client_context())
        client.ehlo()
        client.docmd("AUTH", "XOAUTH2")
        assert client.docmd(blob)[0] == 235
