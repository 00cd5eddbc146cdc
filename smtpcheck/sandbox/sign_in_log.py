"""Entra's log of sign-ins, as the beta of Graph shows it: each request of an application for a token is a row.

Rules of this file:
- It needs `AuditLog.Read.All` and Entra ID P1. A row shows itself after `lag` seconds, as real ones come late.
- Of `$filter` it knows what may be asked: `eq`, `ge` and `le` of a property, and the types of events.
"""

import re
import time
import uuid
from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime

from smtpcheck.sandbox.directory import App, Tenant

_TYPE = re.compile(r"t eq '(\w+)'")
_COMPARISON = re.compile(r"\b(\w+) (eq|ge|le) (?:'([^']*)'|([\dTZ:.-]+))")
_KEPT = 10_000


class SignInLog:
    """The rows of one issuer.

    Attributes:
        lag: seconds until a row is shown.
    """

    def __init__(self) -> None:
        self.lag = 0.0
        self._rows: deque[tuple[float, dict[str, object]]] = deque(maxlen=_KEPT)

    def note(self, app: App, tenant: Tenant, code: int, *, resource: str, correlation_id: str) -> None:
        """Write down a request of an application; code 0 is a success."""
        refusing = [{**policy, "result": "failure"} for policy in tenant.policies] if code == 53003 else []
        self._append(
            {
                "signInEventTypes": ["servicePrincipal"],
                "appId": app.client_id,
                "appDisplayName": app.name,
                "servicePrincipalId": app.principal_id,
                "servicePrincipalCredentialKeyId": app.secrets()[0].key_id,
                "correlationId": correlation_id,
                "resourceDisplayName": resource,
                "ipAddress": "203.0.113.7",
                "conditionalAccessStatus": "failure" if refusing else "notApplied",
                "appliedConditionalAccessPolicies": refusing,
                "status": {"errorCode": code, "failureReason": "Other." if code == 0 else f"Refused by {code}."},
            }
        )

    def note_password(self, account: str, address: str, *, code: int = 0) -> None:
        """Write down a login of a user to SMTP with a password."""
        self._append(
            {
                "signInEventTypes": ["nonInteractiveUser"],
                "userPrincipalName": account,
                "clientAppUsed": "Authenticated SMTP",
                "ipAddress": address,
                "status": {"errorCode": code},
            }
        )

    def found(self, text: str) -> list[Mapping[str, object]]:
        """Return the rows that a `$filter` selects, the newest first."""
        now, kinds = time.time(), set(_TYPE.findall(text))
        conditions = [
            (name, operator, quoted or bare)
            for name, operator, quoted, bare in _COMPARISON.findall(text)
            if name != "t"
        ]
        shown = (row for at, row in reversed(self._rows) if at + self.lag <= now)
        return [row for row in shown if kinds & _kinds(row) and all(_holds(row, *each) for each in conditions)]

    def _append(self, row: dict[str, object]) -> None:
        created = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
        self._rows.append((time.time(), {"id": str(uuid.uuid4()), "createdDateTime": created, **row}))


def _kinds(row: Mapping[str, object]) -> set[str]:
    kinds = row["signInEventTypes"]
    return {str(kind) for kind in kinds} if isinstance(kinds, list) else set()


def _holds(row: Mapping[str, object], name: str, operator: str, value: str) -> bool:
    own = str(row.get(name, ""))
    return {"eq": own == value, "ge": own >= value, "le": own <= value}[operator]
