"""Whom a client trusts."""

from pathlib import Path

import pytest
import trustme

from smtpcheck.http_client.trust import client_context


def test_a_ca_that_is_added_to_the_system_needs_no_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`update-ca-certificates` is enough; an unchanged store is read once."""
    first, second = trustme.CA(), trustme.CA()
    store = tmp_path / "store.pem"
    first.cert_pem.write_to_path(str(store))
    monkeypatch.setenv("SSL_CERT_FILE", str(store))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "none"))
    before = client_context(None)
    assert client_context(None) is before
    second.cert_pem.write_to_path(str(store), append=True)
    assert len(client_context(None).get_ca_certs()) == len(before.get_ca_certs()) + 1
