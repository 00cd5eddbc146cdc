"""The inspectors of a configuration, by the credential that they read about.

Rule of this file: the inspectors of one tenant, or of one customer of Google, share its pace.
"""

import time
from collections.abc import Callable, Mapping

from smtpcheck.inspection.access import Access, is_local
from smtpcheck.inspection.google_access import GoogleAccess, root_at
from smtpcheck.inspection.inspector import Inspector
from smtpcheck.inspection.microsoft import MicrosoftAccess
from smtpcheck.inspection.pace import SPACING, TenantPace
from smtpcheck.inspection.plan import InspectionPlan
from smtpcheck.oauth.broker import TokenBroker
from smtpcheck.oauth.cloud_credential import CloudCredential
from smtpcheck.oauth.credential import Credential
from smtpcheck.oauth.google_service_account import GoogleServiceAccount
from smtpcheck.oauth.google_user import GoogleUser


class Inspectors:
    """Makes an inspector for each plan. Belongs to one event loop."""

    def __init__(
        self,
        plans: Mapping[str, InspectionPlan],
        credentials: Mapping[str, Credential],
        tokens: TokenBroker,
        *,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        agents: int = 1,
    ) -> None:
        """Serve the plans by the name of their credential; nothing is opened yet.

        Where so many agents share the checks, each asks a tenant so many times less often.
        """
        self._spacing = SPACING * agents
        self._wall, self._monotonic, self._tokens = wall, monotonic, tokens
        self._paces: dict[str, TenantPace] = {}
        self._inspectors: dict[str, Inspector] = {}
        for name, plan in plans.items():
            access = self._access(plan, credentials[name], credentials[plan.by])
            if access is not None:
                self._inspectors[name] = Inspector(plan, access, wall=wall)

    def get(self, credential: str | None) -> Inspector | None:
        """Return the inspector of a credential, None where it has none."""
        return self._inspectors.get(credential or "")

    def all(self) -> Mapping[str, Inspector]:
        """Return every inspector by the credential that it reads about."""
        return self._inspectors

    async def close(self) -> None:
        """Close all connections."""
        for inspector in self._inspectors.values():
            await inspector.close()

    def _access(self, plan: InspectionPlan, inspected: Credential, by: Credential) -> Access | None:
        """Return the way to the provider of a credential, None where it has none."""
        if isinstance(inspected, CloudCredential) and isinstance(by, CloudCredential):
            pace = self._pace(f"{by.graph_url} {by.hints(plan.by).tenant}", local=is_local(by.graph_url))
            return MicrosoftAccess(plan, inspected, by, self._tokens, pace)
        if isinstance(inspected, GoogleServiceAccount | GoogleUser) and isinstance(by, GoogleServiceAccount):
            root = root_at(plan.asker.token_uri)
            pace = self._pace(f"google {root} {plan.asker.address}", local=is_local(root))
            return GoogleAccess(plan, inspected, by, self._tokens, pace=pace, root=root)
        return None

    def _pace(self, tenant: str, *, local: bool) -> TenantPace:
        spacing = 0.0 if local else self._spacing
        return self._paces.setdefault(tenant.lower(), TenantPace(spacing, monotonic=self._monotonic))
