"""Which of an application's secrets a local one is, as far as Entra shows them.

Rules of this file:
- Entra shows of a secret its id and its first three characters, the hint
  (https://learn.microsoft.com/graph/api/resources/passwordcredential); nothing else of the local one is looked at.
- What it returns holds no part of the secret but the hint, which Entra shows to every reader.
"""

from smtpcheck.secrets.secret import Secret

HINT_LENGTH = 3


def hint_of(secret: Secret) -> str:
    """Return the characters of a secret that Entra shows."""
    return secret.reveal()[:HINT_LENGTH]


def is_id(secret: Secret, key_id: str) -> bool:
    """Return whether somebody has taken the id of a secret for the secret, as the portal shows them side by side."""
    return secret.reveal().strip().strip("{}").lower() == key_id.lower()
