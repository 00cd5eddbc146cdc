"""The sandbox's issuer answers real MSAL as Entra does when a user signs in, and to a client that others vouch for."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msal
import pytest
import requests

from smtpcheck.sandbox.authority import Authority, Certificate
from smtpcheck.sandbox.directory import (
    PERSONAL_TENANT,
    Accounts,
    App,
    Tenant,
    User,
)
from smtpcheck.sandbox.exchange import AUDIENCES
from smtpcheck.sandbox.issuer import Issuer

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
