"""The part of a script that is for Exchange Online PowerShell: registration, mailboxes, roles, proof.

Rule of this file: a part is in a script only if the plan needs it; what is in the parts is the same for every plan.
"""

from collections.abc import Sequence

from smtpcheck.oauth.clouds import CLOUDS, Cloud
from smtpcheck.setup.parts import head, joined, part
from smtpcheck.setup.plan import Application, ProofKind, SetupPlan
from smtpcheck.setup.powershell import Value, comment, literal

ENVIRONMENTS = {
    Cloud.GLOBAL: ("Global", "O365Default"),
    Cloud.GCC_HIGH: ("USGov", "O365USGovGCCHigh"),
    Cloud.DOD: ("USGovDoD", "O365USGovDoD"),
    Cloud.CHINA: ("China", "O365China"),
}
"""What Graph PowerShell and Exchange Online PowerShell call each cloud."""
GRAPH_MODULES = ("Microsoft.Graph.Authentication", "Microsoft.Graph.Applications")
EXCHANGE_MODULE = "ExchangeOnlineManagement"


def needs_exchange(application: Application) -> bool:
    """Return whether anything is to be done for the application in Exchange."""
    return bool(application.mailboxes or application.roles or application.role_groups)


def data(plan: SetupPlan, modules: Sequence[str], *, is_read: bool = False) -> str:
    """Return the statement that holds everything of the plan.

    `modules`: those that the script needs; `is_read`: it changes nothing.
    """
    graph, exchange = ENVIRONMENTS[plan.cloud]
    checks = [name for application in plan.applications for name in application.checks]
    return "\n".join(
        (
            comment("What is to be set up: everything that is particular to this tenant."),
            "$Setup = "
            + literal(
                {
                    "Tenant": plan.tenant,
                    "LoginHost": CLOUDS[plan.cloud].authority,
                    "GraphEnvironment": graph,
                    "ExchangeEnvironment": exchange,
                    "ConsentsToGraph": any(
                        consent.api.name == "GRAPH"
                        for application in plan.applications
                        for consent in application.consents
                    ),
                    "Modules": list(modules),
                    "AdministrativeUnit": plan.administrative_unit,
                    "ExchangeCommands": [name for name in commands(plan) if not is_read or name.startswith("Get-")],
                    "Applications": [_application(each) for each in plan.applications],
                    "Checks": list(dict.fromkeys(checks))[:_SHOWN_CHECKS],
                }
            ),
        )
    )


_SHOWN_CHECKS = 20


def _application(application: Application) -> Value:
    proof = application.proof
    return {
        "Credential": application.credential,
        "DisplayName": application.display_name,
        "ClientId": application.client_id,
        "ObjectId": application.object_id,
        "Proof": {
            "Kind": str(proof.kind),
            **{
                ProofKind.CERTIFICATE: {
                    "Certificate": proof.certificate,
                    "Sha256": proof.fingerprint,
                    "Expires": proof.expires,
                },
                ProofKind.SECRET: {"Source": proof.source},
                ProofKind.FEDERATED: {"Issuer": proof.issuer, "Subject": proof.subject, "Audience": proof.audience},
                ProofKind.MANAGED_IDENTITY: {"Issuer": "", "Subject": proof.subject, "Audience": proof.audience},
            }.get(proof.kind, {}),
        },
        "Consents": [{"Api": each.api.app_id, "Name": each.name} for each in application.consents],
        "Superseded": [{"Api": each.api.app_id, "Name": each.name} for each in application.superseded],
        "InExchange": needs_exchange(application),
        "Roles": [
            {"Role": each.role, "Assignment": each.assignment, "Group": each.group, "Mailboxes": list(each.mailboxes)}
            for each in application.roles
        ],
        "RoleGroups": list(application.role_groups),
        "Mailboxes": [
            {
                "Address": each.address,
                "FullAccess": each.full_access,
                "SmtpAuth": each.smtp_auth,
                "Imap": each.imap,
                "SendAs": list(each.send_as),
            }
            for each in application.mailboxes
        ],
    }


def _uses(plan: SetupPlan) -> dict[str, bool]:
    """Return which parts the plan needs, by what they are for."""
    applications = plan.applications
    mailboxes = [mailbox for application in applications for mailbox in application.mailboxes]
    roles = [role for application in applications for role in application.roles]
    return {
        "exchange": any(map(needs_exchange, applications)),
        "full_access": any(mailbox.full_access for mailbox in mailboxes),
        "send_as": any(mailbox.send_as for mailbox in mailboxes),
        "protocols": any(mailbox.smtp_auth or mailbox.imap for mailbox in mailboxes),
        "roles": bool(roles),
        "groups": any(role.group for role in roles),
        "role_groups": any(application.role_groups for application in applications),
    }


def commands(plan: SetupPlan) -> list[str]:
    """Return the commands of Exchange that the script runs: the operator's roles have to allow each."""
    uses = _uses(plan)
    needed = {
        "exchange": ("Get-ServicePrincipal", "New-ServicePrincipal", "Get-OrganizationConfig"),
        "full_access": ("Get-MailboxPermission", "Add-MailboxPermission"),
        "send_as": ("Get-RecipientPermission", "Add-RecipientPermission"),
        "protocols": ("Get-CASMailbox", "Set-CASMailbox"),
        "roles": ("Get-ManagementRoleAssignment", "New-ManagementRoleAssignment"),
        "groups": ("Get-DistributionGroup", "New-DistributionGroup", "Add-DistributionGroupMember"),
        "role_groups": ("Get-RoleGroupMember", "Add-RoleGroupMember"),
    }
    return [command for use, names in needed.items() if uses[use] for command in names]


def checking_parts(plan: SetupPlan) -> list[str]:
    """Return what signs in to Exchange and checks everything, and the functions that change something."""
    uses = _uses(plan)
    parts = {
        "exchange": "exchange.ps1",
        "full_access": "exchange-full-access.ps1",
        "send_as": "exchange-send-as.ps1",
        "protocols": "exchange-protocols.ps1",
        "roles": "exchange-rbac.ps1",
        "groups": "exchange-group.ps1",
        "role_groups": "exchange-role-group.ps1",
    }
    connecting = [part("connect-exchange.ps1"), part("check-mailboxes.ps1")]
    return [*connecting, *(part(name) for use, name in parts.items() if uses[use])]


def checks_of_each(plan: SetupPlan) -> list[str]:
    """Return the statements that check one application, with `$application` and `$identity` at hand."""
    lines = [
        "    if ($identity -and $application.InExchange) { Assert-Registration $identity.ClientId $identity.ObjectId }"
    ]
    if _uses(plan)["groups"]:
        lines.append("    foreach ($role in $application.Roles) { Assert-Group $role }")
    return lines


def changes_of_each(plan: SetupPlan) -> list[str]:
    """Return the statements that set one application up in Exchange, with `$application` and `$identity` at hand."""
    uses = _uses(plan)
    lines = [
        "    $registration = Register-Application $identity.ClientId $identity.ObjectId $application.DisplayName",
        "    foreach ($mailbox in $application.Mailboxes) {",
    ]
    if uses["full_access"]:
        lines.append("        if ($mailbox.FullAccess) { Add-FullAccess $registration $mailbox.Address }")
    if uses["send_as"]:
        lines.append(
            "        foreach ($sender in $mailbox.SendAs) { Add-SendAs $registration $mailbox.Address $sender }"
        )
    if uses["protocols"]:
        lines.append("        Set-Protocols $mailbox")
    lines.append("    }")
    if uses["roles"]:
        lines.append("    foreach ($role in $application.Roles) {")
        lines.append("        if ($role.Group) { Set-ScopeGroup $role }" if uses["groups"] else "")
        lines += ["        Add-ScopedRole $role $identity.ObjectId", "    }"]
    if uses["role_groups"]:
        lines.append("    foreach ($name in $application.RoleGroups) { Add-ToRoleGroup $name $identity.ObjectId }")
    return [line for line in lines if line]


def exchange_script(plan: SetupPlan) -> str:
    """Return the script for a tenant whose applications another tool sets up in Entra."""
    how = ("Run it by the script that contains it, or by hand: its parameters are explained below.",)
    customisation = ["Assert-Customizable"] if _uses(plan)["roles"] else []
    checks = [
        "foreach ($application in $Setup.Applications) {",
        "    $identity = $Identities[$application.Credential]",
        *checks_of_each(plan),
        "}",
        'if ($CheckOnly) { Write-Host "Everything that can be checked before is right; nothing was changed."; return }',
    ]
    changes = [
        begin_record(),
        *customisation,
        "foreach ($application in $Setup.Applications) {",
        "    if (-not $application.InExchange) { continue }",
        "    $identity = $Identities[$application.Credential]",
        *changes_of_each(plan),
        "}",
    ]
    return joined(
        [
            "\n".join(comment(line) for line in head("The part for Exchange Online.", how, ())),
            part("param-exchange.ps1"),
            data(plan, (EXCHANGE_MODULE,)),
            part("begin.ps1"),
            part("check-modules.ps1"),
            part("identities-given.ps1"),
            *checking_parts(plan),
            "\n".join([comment("Check everything first"), *checks]),
            "\n".join([comment("Then change it"), *changes]),
            part("proof.ps1") + part("end.ps1"),
        ]
    )


def begin_record() -> str:
    """Return the statement that writes the first line of the record."""
    return (
        "Save-Record 'script' 'before' @{ version = 1; tenant = $Setup.Tenant; tenant_id = \"$TenantId\"; "
        "graph = $Setup.GraphEnvironment; exchange = $Setup.ExchangeEnvironment }"
    )
