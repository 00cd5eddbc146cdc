"""How each application proves itself: by what its credential names, or by what the command line asks for."""

import re
from dataclasses import dataclass

from smtpcheck.oauth.clouds import Cloud
from smtpcheck.oauth.managed_identity import ManagedIdentity
from smtpcheck.oauth.microsoft import Microsoft
from smtpcheck.oauth.public_proof import ProofUnreadableError, assertion_claims
from smtpcheck.setup.key import proof_of
from smtpcheck.setup.plan import Proof, ProofKind, SetupError

AUDIENCE = "api://AzureADTokenExchange"
"""What Entra recommends as audience of another issuer's token."""
_AUDIENCES = {
    Cloud.GLOBAL: AUDIENCE,
    Cloud.GCC_HIGH: f"{AUDIENCE}USGov",
    Cloud.DOD: f"{AUDIENCE}USGov",
    Cloud.CHINA: f"{AUDIENCE}China",
}
"""What it demands as audience of a managed identity's token
(https://learn.microsoft.com/entra/workload-id/workload-identity-federation-config-app-trust-managed-identity)."""
_GUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


@dataclass(frozen=True, slots=True)
class ProofWishes:
    """What the command line says of proofs."""

    made: Proof | None = None
    """Of the key that `--make-key` made."""
    managed_identity: str = ""
    """The object id of a managed identity that is to prove the application."""
    issuer: str = ""
    """Of the tokens that prove the application, where they cannot be read here."""
    subject: str = ""
    keep: bool = False
    """Whether the application proves itself already, in a way that need not be known."""


def proof_for(name: str, credential: Microsoft | ManagedIdentity, wishes: ProofWishes) -> Proof:
    """Return how the application of the credential called `name` proves itself. May block on a file.

    Raises:
        SetupError: What is public about its proof cannot be known here.
    """
    if isinstance(credential, ManagedIdentity) or wishes.keep:
        return Proof.none()
    if wishes.managed_identity:
        if not _GUID.fullmatch(wishes.managed_identity):
            raise SetupError(
                f"--managed-identity {wishes.managed_identity!r} is not the object id of an identity (a GUID)"
            )
        return Proof(ProofKind.MANAGED_IDENTITY, subject=wishes.managed_identity, audience=_AUDIENCES[credential.cloud])
    if wishes.made is not None:
        return wishes.made
    if wishes.issuer and wishes.subject:
        return Proof(ProofKind.FEDERATED, issuer=wishes.issuer, subject=wishes.subject, audience=AUDIENCE)
    if credential.client_certificate is not None:
        try:
            return proof_of(credential.client_certificate)
        except SetupError as error:
            hint = f"make one: smtpcheck setup {name} --make-key {credential.client_certificate.file}"
            raise SetupError(*(f"credential {name}: {each}; {hint}" for each in error.problems)) from None
    if credential.client_assertion is not None:
        return _federated(name, credential)
    return Proof(ProofKind.SECRET, source=str(credential.client_secret))


def _federated(name: str, credential: Microsoft) -> Proof:
    assert credential.client_assertion is not None  # noqa: S101 - the caller has looked
    hint = "name its claims: --federated-issuer (iss) and --federated-subject (sub)"
    try:
        claims = assertion_claims(credential.client_assertion)
    except ProofUnreadableError as error:
        raise SetupError(f"credential {name}: {error}; {hint}") from None
    issuer, subject, audience = claims.get("iss"), claims.get("sub"), claims.get("aud")
    if isinstance(audience, list) and len(audience) == 1:
        audience = audience[0]
    if not (isinstance(issuer, str) and isinstance(subject, str)):
        raise SetupError(f"credential {name}: the assertion is not a JWT with iss and sub; {hint}")
    return Proof(
        ProofKind.FEDERATED,
        issuer=issuer,
        subject=subject,
        audience=audience if isinstance(audience, str) else AUDIENCE,
    )
