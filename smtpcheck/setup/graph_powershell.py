"""The script for Microsoft Graph PowerShell and Exchange Online PowerShell: one file, one window."""

from smtpcheck.setup.exchange import (
    EXCHANGE_MODULE,
    GRAPH_MODULES,
    begin_record,
    changes_of_each,
    checking_parts,
    checks_of_each,
    data,
    needs_exchange,
)
from smtpcheck.setup.parts import head, joined, part
from smtpcheck.setup.plan import ProofKind, SetupPlan
from smtpcheck.setup.powershell import comment

_PROOF_PARTS = {
    ProofKind.CERTIFICATE: ("graph-certificate.ps1", "Add-Certificate"),
    ProofKind.SECRET: ("graph-secret.ps1", "Add-Secret"),
    ProofKind.FEDERATED: ("graph-federated.ps1", "Add-FederatedCredential"),
    ProofKind.MANAGED_IDENTITY: ("graph-federated.ps1", "Add-FederatedCredential"),
}
_HOW = (
    "Read it, and run it in PowerShell 7 as an administrator of the tenant:",
    "  ./setup.ps1 -CheckOnly    checks everything and changes nothing",
    "  ./setup.ps1               adds what is missing; what is there is kept, so it may be run again",
    "  ./setup.ps1 -Replace      also replaces what is wrong",
    "It needs the modules Microsoft.Graph.Applications and ExchangeOnlineManagement. Such scripts are tested by",
    "parsers, not in a tenant.",
)


def graph_powershell_script(plan: SetupPlan) -> str:
    """Return the whole script for a plan."""
    in_exchange = any(map(needs_exchange, plan.applications))
    modules = (*GRAPH_MODULES, *((EXCHANGE_MODULE,) if in_exchange else ()))
    kinds = {application.proof.kind for application in plan.applications}
    proofs = list(dict.fromkeys(row for kind, row in _PROOF_PARTS.items() if kind in kinds))
    superseded = any(application.superseded for application in plan.applications)
    return joined(
        [
            "\n".join(comment(line) for line in head(f"Sets tenant {plan.tenant} up for smtpcheck.", _HOW, plan.notes)),
            part("param-graph.ps1"),
            data(plan, modules),
            part("begin.ps1"),
            part("check-modules.ps1"),
            part("connect-graph.ps1"),
            part("check-graph-roles.ps1"),
            part("graph-find.ps1"),
            part("graph-application.ps1"),
            *(part(name) for name, _ in proofs),
            part("graph-superseded.ps1") if superseded else "",
            *(checking_parts(plan) if in_exchange else ()),
            "\n".join(_checks(plan, in_exchange=in_exchange)),
            "\n".join(_changes(plan, in_exchange=in_exchange, superseded=superseded)),
            (part("proof.ps1") if in_exchange else "") + part("end.ps1"),
        ]
    )


def _checks(plan: SetupPlan, *, in_exchange: bool) -> list[str]:
    identity = "@{ ClientId = $found.Principal.AppId; ObjectId = $found.Principal.Id }"
    return [
        comment("Check everything first"),
        "foreach ($application in $Setup.Applications) {",
        "    $found = Find-Application $application",
        f"    $identity = if ($found.Principal) {{ {identity} }} else {{ $null }}",
        "    foreach ($consent in $application.Consents) { $null = Get-AppRole $consent.Api $consent.Name }",
        *(checks_of_each(plan) if in_exchange else ()),
        "}",
        'if ($CheckOnly) { Write-Host "Everything that can be checked before is right; nothing was changed."; return }',
    ]


def _changes(plan: SetupPlan, *, in_exchange: bool, superseded: bool) -> list[str]:
    kinds = {application.proof.kind: _PROOF_PARTS.get(application.proof.kind) for application in plan.applications}
    adds = [
        f"    if ($application.Proof.Kind -eq '{kind}') {{ {row[1]} $application $found }}"
        for kind, row in kinds.items()
        if row
    ]
    has_roles = any(application.roles for application in plan.applications)
    return [
        comment("Then change it"),
        begin_record(),
        *(["Assert-Customizable"] if in_exchange and has_roles else ()),
        "$Identities = @{}",
        "foreach ($application in $Setup.Applications) {",
        "    $found = Set-Application $application",
        "    $identity = @{ ClientId = $found.Principal.AppId; ObjectId = $found.Principal.Id }",
        "    $Identities[$application.Credential] = $identity",
        *adds,
        "    Add-Consent $application $found",
        *(["    Remove-SupersededConsent $application $found"] if superseded else ()),
        *(["    if (-not $application.InExchange) { continue }", *changes_of_each(plan)] if in_exchange else ()),
        "}",
    ]
