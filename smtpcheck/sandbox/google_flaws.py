"""What an administrator of Google, or Google itself, has changed: flaws of a user and of a service account.

Rule of this file: as in `flaws`, a flaw changes what is administered; that mail then fails follows from it.
"""

from collections.abc import Callable, Mapping

from smtpcheck.sandbox.flaws import Flaw
from smtpcheck.sandbox.google import GoogleIssuer
from smtpcheck.sandbox.google_accounts import GoogleUser, ServiceAccount
from smtpcheck.sandbox.google_admin import gmail_incident


def _suspended(_google: GoogleIssuer, _account: ServiceAccount, user: GoogleUser) -> None:
    user.suspended = True


def _no_mailbox(google: GoogleIssuer, _account: ServiceAccount, user: GoogleUser) -> None:
    user.mailbox_created = False
    google.gmail_api.without_gmail.add(user.address.casefold())


def _key_disabled(_google: GoogleIssuer, account: ServiceAccount, _user: GoogleUser) -> None:
    account.disabled_keys = dict.fromkeys(account.keys, "SERVICE_ACCOUNT_KEY_DISABLE_REASON_EXPOSED")


def _incident(google: GoogleIssuer, _account: ServiceAccount, _user: GoogleUser) -> None:
    google.admin.incidents = [gmail_incident()]


GOOGLE_FLAWS: Mapping[Flaw, Callable[[GoogleIssuer, ServiceAccount, GoogleUser], None]] = {
    Flaw.SUSPENDED: _suspended,
    Flaw.NO_MAILBOX: _no_mailbox,
    Flaw.KEY_DISABLED: _key_disabled,
    Flaw.GMAIL_INCIDENT: _incident,
}
"""What each flaw changes."""
