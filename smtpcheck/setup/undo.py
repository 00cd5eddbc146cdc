"""The script that takes a record back, in the right order; and the one that without a record only lists what is there.

Rule of this file: what was there before a script ran, only its record says. Without one nothing is changed.
"""

from smtpcheck.setup.exchange import EXCHANGE_MODULE, GRAPH_MODULES, data
from smtpcheck.setup.parts import head, joined, part
from smtpcheck.setup.plan import SetupPlan
from smtpcheck.setup.powershell import comment, literal
from smtpcheck.setup.record import Record

_IN_ENTRA = {
    "consent": "Undo-Consent",
    "consent_removed": "Undo-RemovedConsent",
    "listed_permission": "Undo-ListedPermission",
    "federated_credential": "Undo-FederatedCredential",
    "secret": "Undo-Secret",
    "certificate": "Undo-Certificate",
    "enterprise_application": "Undo-EnterpriseApplication",
    "application": "Undo-Application",
}
_IN_EXCHANGE = {
    "smtp_auth": "Undo-SmtpAuth",
    "imap": "Undo-Imap",
    "send_as": "Undo-SendAs",
    "full_access": "Undo-FullAccess",
    "role_assignment": "Undo-RoleAssignment",
    "role_group_member": "Undo-RoleGroupMember",
    "group_member": "Undo-GroupMember",
    "group": "Undo-Group",
    "registration": "Undo-Registration",
}
_COMMANDS = {
    "smtp_auth": ("Get-CASMailbox", "Set-CASMailbox"),
    "imap": ("Get-CASMailbox", "Set-CASMailbox"),
    "send_as": ("Get-RecipientPermission", "Remove-RecipientPermission"),
    "full_access": ("Get-MailboxPermission", "Remove-MailboxPermission"),
    "role_assignment": ("Get-ManagementRoleAssignment", "Remove-ManagementRoleAssignment"),
    "role_group_member": ("Remove-RoleGroupMember",),
    "group_member": ("Remove-DistributionGroupMember",),
    "group": ("Get-DistributionGroupMember", "Remove-DistributionGroup"),
    "registration": ("Get-ServicePrincipal", "Remove-ServicePrincipal"),
}
_HOW = (
    "Read it, and run it in PowerShell 7 as an administrator of the tenant:",
    "  ./undo.ps1           says what it would do",
    "  ./undo.ps1 -Apply    does it, and asks before it removes an application or a group",
)
_NOT_TAKEN_BACK = {
    "registration_removed": "An entry with a wrong object id was removed from Exchange; it is not made again.",
    "organization_customization": "Enable-OrganizationCustomization cannot be taken back.",
}


def undo_script(record: Record) -> str:
    """Return the script that takes a record back."""
    kinds = list(dict.fromkeys(change.kind for change in record.changes))
    in_entra = [kind for kind in kinds if kind in _IN_ENTRA]
    in_exchange = [kind for kind in kinds if kind in _IN_EXCHANGE]
    notes = [_NOT_TAKEN_BACK[kind] for kind in kinds if kind in _NOT_TAKEN_BACK]
    notes += [f"It is not known how a step ended ({kind}); look for what it made." for kind in record.unfinished]
    names = _IN_ENTRA | _IN_EXCHANGE
    steps = {kind: names[kind] for kind in kinds if kind in names}
    lines = head(f"Takes back in tenant {record.tenant} what smtpcheck's scripts changed.", _HOW, notes)
    return joined(
        [
            "\n".join(comment(line) for line in lines),
            part("undo-param.ps1"),
            _data(record, in_entra=bool(in_entra), in_exchange=in_exchange),
            part("undo-begin.ps1"),
            part("check-modules.ps1"),
            part("connect-graph.ps1") if in_entra else "",
            part("connect-exchange.ps1") if in_exchange else "",
            part("undo-graph.ps1") if in_entra else "",
            part("undo-exchange.ps1") if in_exchange else "",
            f"$Steps = {literal(steps)}\n{part('undo-end.ps1')}",
        ]
    )


def _data(record: Record, *, in_entra: bool, in_exchange: list[str]) -> str:
    modules = list(GRAPH_MODULES) if in_entra else []
    names = _IN_ENTRA | _IN_EXCHANGE
    return "\n".join(
        (
            comment("What the record says, last things first"),
            "$Setup = "
            + literal(
                {
                    "Tenant": record.tenant,
                    "TenantId": record.tenant_id,
                    "GraphEnvironment": record.graph,
                    "ExchangeEnvironment": record.exchange,
                    "Modules": modules + ([EXCHANGE_MODULE] if in_exchange else []),
                    "ExchangeCommands": list(dict.fromkeys(name for kind in in_exchange for name in _COMMANDS[kind])),
                    "Changes": [
                        {"change": change.kind, **change.values} for change in record.changes if change.kind in names
                    ],
                }
            ),
        )
    )


def listing_script(plan: SetupPlan) -> str:
    """Return the script that says what a removal would be about, and changes nothing."""
    how = ("Run it in PowerShell 7 as an administrator of the tenant: it only reads.",)
    lines = head(f"Lists what tenant {plan.tenant} grants to the applications of smtpcheck.", how, ())
    return joined(
        [
            "\n".join(comment(line) for line in lines),
            "[CmdletBinding()]\nparam()",
            data(plan, (*GRAPH_MODULES, EXCHANGE_MODULE), is_read=True),
            part("list-begin.ps1"),
            part("check-modules.ps1"),
            part("connect-graph.ps1"),
            part("graph-find.ps1"),
            part("connect-exchange.ps1"),
            part("list.ps1"),
        ]
    )
