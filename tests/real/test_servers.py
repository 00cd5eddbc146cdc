"""The servers themselves, spoken to by the standard library: what the other tests of this folder stand on."""

import base64
import http.server
import smtplib
import threading
from collections.abc import Callable, Iterator

import pytest

from smtpcheck.secrets.secret import Secret
from tests.real.daemon import wait_until
from tests.real.mail import Certificates, Dovecot, Postfix
from tests.real.prometheus import Prometheus
from tests.real.tokens import Signer

ANNA = "anna@example.test"


def _xoauth2(user: str, token: Secret) -> str:
    return base64.b64encode(f"user={user}\x01auth=Bearer {token.reveal()}\x01\x01".encode()).decode()


def _open(port: int, certificates: Certificates) -> smtplib.SMTP:
    client = smtplib.SMTP("localhost", port, "client.test", timeout=10)
    client.starttls(context=certificates.client_context())
    client.ehlo()
    return client


def _login(port: int, certificates: Certificates, token: Secret) -> list[int]:
    """Return the codes of an XOAUTH2 login whose blob goes after the 334, with an error challenge answered."""
    with _open(port, certificates) as client:
        codes = [client.docmd("AUTH", "XOAUTH2")[0], client.docmd(_xoauth2(ANNA, token))[0]]
        if codes[-1] == 334:
            codes.append(client.docmd("")[0])
        return codes


@pytest.fixture(params=["dovecot", "postfix"])
def port(request: pytest.FixtureRequest, dovecot: Dovecot, postfix: Postfix) -> int:
    """Return the submission port of each server in turn."""
    return {"dovecot": dovecot.ports.submission, "postfix": postfix.ports.submission}[request.param]


def test_a_server_offers_both_mechanisms_after_starttls(port: int, certificates: Certificates) -> None:
    with _open(port, certificates) as client:
        assert {"XOAUTH2", "OAUTHBEARER"} <= set(client.esmtp_features["auth"].split())


@pytest.mark.parametrize("size", [500, 1500, 2500])
def test_a_server_takes_a_good_token(port: int, certificates: Certificates, signer: Signer, size: int) -> None:
    assert _login(port, certificates, signer.mint(ANNA, size=size)) == [334, 235]


@pytest.mark.parametrize(
    "bad", [{"lifetime": -600}, {"audience": "graph"}, {"issuer": "https://other.test"}, {"forged": True}], ids=str
)
def test_a_server_refuses_a_bad_token_after_a_challenge(
    port: int, certificates: Certificates, signer: Signer, bad: dict[str, object]
) -> None:
    assert _login(port, certificates, signer.mint(ANNA, **bad)) == [334, 334, 535]  # type: ignore[arg-type]


def test_a_long_token_as_initial_response_is_refused(port: int, certificates: Certificates, signer: Signer) -> None:
    with _open(port, certificates) as client:
        code, _ = client.docmd("AUTH", f"XOAUTH2 {_xoauth2(ANNA, signer.mint(ANNA, size=2600))}")
    assert code in {500, 535}


def test_a_submitted_message_reaches_the_mailbox(
    port: int, certificates: Certificates, signer: Signer, dovecot: Dovecot
) -> None:
    with _open(port, certificates) as client:
        client.docmd("AUTH", "XOAUTH2")
        client.docmd(_xoauth2(ANNA, signer.mint(ANNA)))
        client.sendmail(ANNA, [f"box{port}@example.test"], f"Subject: port {port}\r\n\r\nhello\r\n")
    inbox = dovecot.mail / f"box{port}@example.test" / "Maildir" / "new"
    wait_until(lambda: inbox.is_dir() and any(inbox.iterdir()), f"mail in {inbox}")
    assert f"Subject: port {port}" in next(inbox.iterdir()).read_text()


class _Metrics(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write(b'answer{of="all"} 42\n')

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - named by the standard library
        pass


@pytest.fixture
def target() -> Iterator[str]:
    """Return the address of a page with one series."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Metrics) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_prometheus_scrapes_a_target(target: str, prometheus: Callable[[str], Prometheus]) -> None:
    assert prometheus(target).wait_for("answer") == [({"__name__": "answer", "of": "all"}, 42.0)]
