"""Whether what a credential gives can log in: the mechanism that is named carries a token or a password."""

from smtpcheck.config.problems import Place, Problems
from smtpcheck.model.check import Mechanism
from smtpcheck.oauth.credential import Credential


def check_login(name: str, credential: Credential, place: Place, problems: Problems) -> bool:
    """Report where nothing can be logged in to with the credential called `name`; return whether it can."""
    if credential.logs_in:
        return True
    problems.error(
        place,
        f"is of type {credential.type}, which is for mail APIs alone",
        value=name,
        hint="write via: {api: ...} in the check; by SMTP the key is a password: type: password",
    )
    return False


def check_mechanism(
    mechanism: Mechanism | None, name: str, credential: Credential, place: Place, problems: Problems
) -> bool:
    """Report where the mechanism does not carry what the credential called `name` gives; return whether it does."""
    if mechanism is None or mechanism.carries_password is not credential.gives_tokens:
        return True
    carried, given = ("a token", "a password") if not credential.gives_tokens else ("a password", "tokens")
    problems.error(
        place,
        f"carries {carried}, and credential {name} gives {given}",
        value=str(mechanism),
        hint="remove it: what the server offers is used",
    )
    return False
