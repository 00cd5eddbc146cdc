"""The inspectors of a configuration, by the credential that they read about; those of one tenant share its pace."""

import time
from collections.abc import Callable, Mapping

from smtpcheck.inspection.inspector import Inspector, is_local
from smtpcheck.inspection.pace import SPACING, TenantPace
from smtpcheck.inspection.plan import InspectionPlan
from smtpcheck.oauth.broker import TokenBroker
from smtpcheck.oauth.cloud_credential import CloudCredential
from smtpcheck.oauth.credential import Credential


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
            inspected, by = credentials[name], credentials[plan.by]
            if isinstance(inspected, CloudCredential) and isinstance(by, CloudCredential):
                self._inspectors[name] = self._inspector(plan, inspected, by)

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

    def _inspector(self, plan: InspectionPlan, inspected: CloudCredential, by: CloudCredential) -> Inspector:
        tenant = f"{by.graph_url} {by.hints(plan.by).tenant}".lower()
        spacing = 0.0 if is_local(by) else self._spacing
        pace = self._paces.setdefault(tenant, TenantPace(spacing, monotonic=self._monotonic))
        return Inspector(plan, inspected, by, self._tokens, pace=pace, wall=self._wall)
