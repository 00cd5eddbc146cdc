"""What Entra says of the application: whether it exists and may sign in, and whether its credentials can work.

Rule of this file: pure. The evidence names no person, address or place.
"""

from collections.abc import Mapping

from smtpcheck.diagnosis.inspected.view import PROBABLE, Defect, Rule, View, state
from smtpcheck.model.cause import Cause
from smtpcheck.model.inspection import FactName
from smtpcheck.model.timestamp import rfc3339

_BY_SIGN_IN = {"53003": Cause.CONDITIONAL_ACCESS, "530035": Cause.SECURITY_DEFAULTS}
"""What the log of sign-ins says more of than the refusal itself: which policy it was."""


_LOCAL_SECRETS: Mapping[str, str] = {
    "is the ID of a secret": "the configured value is the ID of a secret of the application, not the secret",
    "not listed": "no secret of the application begins like the configured one",
}


def _credentials_expired(view: View) -> Defect | None:
    names = (FactName.SECRET_EXPIRES, FactName.CERTIFICATE_EXPIRES)
    listed = [fact for name in names for fact in view.inspection.all(name)]
    if not listed:
        there = view.when(FactName.APPLICATION_EXISTS, value=True)
        says = "the application has neither a secret nor a certificate"
        no_other = view.when(FactName.FEDERATED_NAMES, ())
        return Defect(Cause.SECRET_INVALID, (there,), says) if there and no_other else None
    last = max(listed, key=lambda fact: str(fact.value))
    if str(last.value) > rfc3339(view.now):
        return None
    return Defect(Cause.SECRET_EXPIRED, (last,), f"the last secret or certificate expired on {str(last.value)[:10]}")


def _refused_sign_in(view: View) -> Defect | None:
    code = view.fact(FactName.SIGN_IN_CODE)
    cause = _BY_SIGN_IN.get(str(code.value)) if code else None
    if code is None or cause is None:
        return None
    policies = [fact.item for fact in view.inspection.all(FactName.SIGN_IN_POLICY) if fact.item]
    named = f"; refused by the policy {', '.join(policies[:3])}" if policies else ""
    return Defect(cause, (code,), f"the sign-in failed with AADSTS{code.value}{named}")


def _wrong_secret(view: View) -> Defect | None:
    """That Entra refuses it is said by the code; what it is instead, by the secrets that the application has."""
    local = view.fact(FactName.LOCAL_SECRET)
    says = _LOCAL_SECRETS.get(str(local.value)) if local is not None else None
    return Defect(Cause.SECRET_INVALID, (local,), says) if local is not None and says else None


def _no_consent(view: View) -> Defect | None:
    """A user's token needs the delegated permission; another application's is not its matter."""
    granted, fact = view.texts(FactName.DELEGATED_PERMISSIONS), view.fact(FactName.DELEGATED_PERMISSIONS)
    if view.app_only or fact is None or granted is None or "SMTP.Send" in granted:
        return None
    return Defect(Cause.CONSENT_MISSING, (fact,), "SMTP.Send is not among the permissions that were consented to")


ENTERPRISE_APPLICATION = (
    state(
        Cause.APP_NOT_IN_TENANT,
        FactName.PRINCIPAL_EXISTS,
        "there is no enterprise application of this id in the tenant",
        value=False,
    ),
    state(
        Cause.APP_DISABLED,
        FactName.PRINCIPAL_ENABLED,
        "sign-in is off for the enterprise application",
        value=False,
    ),
    state(
        Cause.APP_DISABLED,
        FactName.PRINCIPAL_DISABLED_BY_MICROSOFT,
        "Microsoft has disabled the enterprise application",
        value=True,
    ),
    state(Cause.RESOURCE_NOT_IN_TENANT, FactName.EXCHANGE_IN_TENANT, "the tenant has no Exchange Online", value=False),
)
"""Whether the application can get a token at all."""
CREDENTIALS = (
    state(
        Cause.FEDERATED_ASSERTION_MISMATCH,
        FactName.FEDERATED_MATCH,
        "no federated credential has issuer, subject and audience of the local token",
        value=False,
    ),
    Rule(
        frozenset({Cause.SECRET_EXPIRED, Cause.SECRET_INVALID}),
        (FactName.SECRET_EXPIRES, FactName.FEDERATED_NAMES),
        _credentials_expired,
        apps_only=True,
    ),
)
"""Whether what the application proves itself by can work."""
REFUSED_SIGN_INS = (Rule(frozenset(_BY_SIGN_IN.values()), (FactName.SIGN_IN_CODE,), _refused_sign_in),)
"""What the log of sign-ins says of a refusal."""
POLICIES = (
    state(
        Cause.SECURITY_DEFAULTS,
        FactName.SECURITY_DEFAULTS,
        "security defaults are on",
        value=True,
        certainty=PROBABLE,
    ),
)
"""What may be as it is and explains a failure that fits, but is so in many tenants where mail is sent."""
OF_CODES: Mapping[int, tuple[Rule, ...]] = {
    50105: (
        state(
            Cause.CONSENT_MISSING,
            FactName.ASSIGNMENT_REQUIRED,
            "the enterprise application requires an assignment",
            value=True,
        ),
    ),
    7000215: (Rule(frozenset({Cause.SECRET_INVALID}), (FactName.LOCAL_SECRET,), _wrong_secret),),
    65001: (
        Rule(frozenset({Cause.CONSENT_MISSING}), (FactName.PRINCIPAL_ID, FactName.DELEGATED_PERMISSIONS), _no_consent),
    ),
}
"""What explains one refusal of Entra, by its AADSTS code, and no other: that an assignment is required does not show
that a consent is missing, nor the other way round."""
