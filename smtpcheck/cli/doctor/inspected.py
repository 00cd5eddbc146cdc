"""What the provider itself says of a failure that the doctor has seen."""

from smtpcheck.agent.investigation import investigate
from smtpcheck.check.kit import Kit
from smtpcheck.config import Settings
from smtpcheck.diagnosis.inspected.causes import candidates
from smtpcheck.diagnosis.inspection_status import InspectionStatus, Proof, merged, signature
from smtpcheck.inspection.inspectors import Inspectors
from smtpcheck.model.check import Check
from smtpcheck.model.inspection import Inspection
from smtpcheck.model.report import Report


async def inspected(report: Report, check: Check, settings: Settings, kit: Kit) -> Report:
    """Return the report with the causes that the provider says of a failure; as it is where there is no inspector."""
    name = check.credential or ""
    if not candidates(report) or name not in settings.inspections:
        return report
    inspectors = Inspectors(
        settings.inspections, settings.credentials, kit.tokens, wall=kit.wall, monotonic=kit.monotonic
    )
    try:
        inspector = inspectors.get(name)
        if inspector is None:
            return report
        hints, began = kit.hints.get(name), report.started_at
        _, causes = await investigate(inspector, check, report, hints, Inspection(), began=began)
    finally:
        await inspectors.close()
    return merged(report, InspectionStatus(Proof(signature(report), causes)))
