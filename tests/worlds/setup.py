"""Configurations for the scripts of `smtpcheck setup`, as text and loaded."""

from pathlib import Path

import yaml

from smtpcheck.config import Settings, load

CLIENT = "11111111-2222-3333-4444-555555555555"
OTHER_CLIENT = "66666666-7777-8888-9999-aaaaaaaaaaaa"
UNIT = "0f0f0f0f-1111-2222-3333-444444444444"
SECRET = {"value": "a secret that no script may have"}


def application(**changes: object) -> dict[str, object]:
    """Return a credential of type microsoft."""
    return {
        "type": "microsoft",
        "tenant": "contoso.onmicrosoft.com",
        "client_id": CLIENT,
        "client_secret": SECRET,
        **changes,
    }


def check(mailbox: str = "billing@contoso.com", **changes: object) -> dict[str, object]:
    """Return a check of one mailbox, called by its local part."""
    name = "".join(each if each.isalnum() else "_" for each in mailbox.partition("@")[0])
    return {"name": name, "mailbox": mailbox, "credential": "contoso", **changes}


def loopback(via: str = "imap", **changes: object) -> dict[str, object]:
    """Return the section `loopback`."""
    return {"to": "probe@contoso.com", "find": {"via": via}, **changes}


def settings_of(
    folder: Path, *checks: dict[str, object], credentials: dict[str, dict[str, object]] | None = None
) -> Settings:
    """Return the settings of a configuration that must be good."""
    file = folder / "checks.yaml"
    document = {"credentials": credentials or {"contoso": application()}, "checks": list(checks) or [check()]}
    file.write_text(yaml.safe_dump(document))
    loaded = load([file])
    assert loaded.settings, loaded.problems
    return loaded.settings
