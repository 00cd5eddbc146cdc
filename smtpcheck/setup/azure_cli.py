"""The script for the Azure CLI, and inside it the part for Exchange Online PowerShell, which it writes out and runs.

Rule of this file: whatever comes from a configuration is an argument, quoted by `shlex.quote`.
"""

import json
from collections.abc import Iterator
from shlex import quote

from smtpcheck.oauth.clouds import CLOUDS, Cloud
from smtpcheck.setup.exchange import ENVIRONMENTS, exchange_script, needs_exchange
from smtpcheck.setup.parts import head, joined, part
from smtpcheck.setup.plan import Application, Proof, ProofKind, SetupPlan
from smtpcheck.setup.powershell import comment

_CLOUDS = {
    Cloud.GLOBAL: "AzureCloud",
    Cloud.GCC_HIGH: "AzureUSGovernment",
    Cloud.DOD: "AzureUSGovernment",
    Cloud.CHINA: "AzureChinaCloud",
}
"""What the Azure CLI calls each cloud."""
_END_OF_FILE = "END_OF_EXCHANGE_SCRIPT"
_EXCHANGE_SCRIPT = "smtpcheck-exchange.ps1"
_ADMINISTRATORS = ("Global Administrator", "Privileged Role Administrator")
_APPLICATION_ADMINISTRATORS = ("Application Administrator", "Cloud Application Administrator")
_HOW = (
    "Read it, and run it with bash as an administrator of the tenant, after az login:",
    "  bash setup.sh --check      checks everything and changes nothing",
    "  bash setup.sh              adds what is missing; what is there is kept, so it may be run again",
    "  bash setup.sh --replace    also replaces what is wrong",
    "It needs az 2.37 or newer, and PowerShell (pwsh) with the module ExchangeOnlineManagement, which asks you to sign",
    "in twice. Such scripts are tested by parsers and against a stand-in of az, not in a tenant.",
)
_PARTS = {
    ProofKind.CERTIFICATE: "azure-certificate.sh",
    ProofKind.SECRET: "azure-secret.sh",
    ProofKind.FEDERATED: "azure-federated.sh",
    ProofKind.MANAGED_IDENTITY: "azure-federated.sh",
}


def azure_cli_script(plan: SetupPlan) -> str:
    """Return the whole script for a plan."""
    in_exchange = any(map(needs_exchange, plan.applications))
    proofs = dict.fromkeys(_PARTS[each.proof.kind] for each in plan.applications if each.proof.kind in _PARTS)
    has_superseded = any(application.superseded for application in plan.applications)
    lines = head(f"Sets tenant {plan.tenant} up for smtpcheck.", _HOW, [*plan.notes, *_notes(plan)])
    return joined(
        [
            "\n".join(["#!/usr/bin/env bash", *(comment(line) for line in lines)]),
            part("azure-begin.sh"),
            _data(plan),
            _exchange_file(plan) if in_exchange else "",
            part("azure-sign-in.sh"),
            part("azure-application.sh"),
            *map(part, proofs),
            part("azure-superseded.sh") if has_superseded else "",
            part("azure-exchange.sh") if in_exchange else "",
            "\n".join(_checks(plan, in_exchange=in_exchange)),
            "\n".join(_changes(plan, in_exchange=in_exchange)),
            part("azure-end.sh"),
        ]
    )


def _notes(plan: SetupPlan) -> Iterator[str]:
    if plan.cloud is Cloud.DOD:
        yield (
            "Not known: whether the Azure CLI reaches the DoD cloud's own Graph, dod-graph.microsoft.us, by az ad; "
            "--to graph-powershell does."
        )


def _data(plan: SetupPlan) -> str:
    to_graph = any(consent.api.name == "GRAPH" for each in plan.applications for consent in each.consents)
    roles = _ADMINISTRATORS if to_graph else (*_ADMINISTRATORS, *_APPLICATION_ADMINISTRATORS)
    return "\n".join(
        (
            comment("What is to be set up, and where; each application has its lines at the end"),
            f"tenant={quote(plan.tenant)}",
            f"cloud={_CLOUDS[plan.cloud]}",
            f"graph=https://{CLOUDS[plan.cloud].graph}",
            f"wanted_roles={quote('|'.join(roles))}",
            f"credentials=({' '.join(quote(each.credential) for each in plan.applications)})",
        )
    )


def _exchange_file(plan: SetupPlan) -> str:
    return "\n".join(
        (
            comment("The part for Exchange Online PowerShell"),
            f"exchange_script={_EXCHANGE_SCRIPT}",
            f"cat >\"$exchange_script\" <<'{_END_OF_FILE}'",
            exchange_script(plan).rstrip("\n"),
            _END_OF_FILE,
        )
    )


def _checks(plan: SetupPlan, *, in_exchange: bool) -> list[str]:
    lines = [comment("Check everything first")]
    for application in plan.applications:
        lines += [
            f"find_application {_identity(application)}",
            'client_ids+=("$client_id")',
            'object_ids+=("$object_id")',
            *(f"find_role {consent.api.app_id} {quote(consent.name)}" for consent in application.consents),
        ]
    if in_exchange:
        lines.append("exchange -CheckOnly")
    return [
        *lines,
        "if [[ $check ]]; then",
        "  echo 'Everything that can be checked before is right; nothing was changed.'",
        "  exit",
        "fi",
        "client_ids=()",
        "object_ids=()",
    ]


def _changes(plan: SetupPlan, *, in_exchange: bool) -> list[str]:
    graph, exchange = ENVIRONMENTS[plan.cloud]
    lines = [
        comment("Then change it"),
        f'save script before tenant "$tenant" tenant_id "$tenant_id" graph {graph} exchange {exchange}',
    ]
    for application in plan.applications:
        lines += [
            "",
            comment(f"The application of credential {application.credential}"),
            f"set_application {_identity(application)}",
            *_proof(application.proof, plan.cloud),
            *(f"add_consent {consent.api.app_id} {quote(consent.name)}" for consent in application.consents),
            *(f"remove_superseded {each.api.app_id} {quote(each.name)}" for each in application.superseded),
        ]
    return [*lines, *(["", "exchange"] if in_exchange else [])]


def _identity(application: Application) -> str:
    return " ".join(map(quote, (application.display_name, application.client_id, application.object_id)))


def _proof(proof: Proof, cloud: Cloud) -> list[str]:
    match proof.kind:
        case ProofKind.CERTIFICATE:
            return [f"add_certificate {quote(proof.pem)} {proof.thumbprint}"]
        case ProofKind.SECRET:
            return [f"add_secret {quote(proof.source)}"]
        case ProofKind.FEDERATED | ProofKind.MANAGED_IDENTITY:
            issuer = proof.issuer or f"https://{CLOUDS[cloud].authority}/TENANT_ID/v2.0"
            query = f"[?issuer=={_in_query(issuer)} && subject=={_in_query(proof.subject)}].id | [0]"
            parameters = {
                "name": "smtpcheck",
                "issuer": issuer,
                "subject": proof.subject,
                "audiences": [proof.audience],
            }
            arguments = (query, json.dumps(parameters), json.dumps(proof.subject)[1:-1])
            return [f"add_federated {' '.join(map(quote, arguments))}"]
    return []


def _in_query(text: str) -> str:
    """Return a text as a literal of JMESPath, the language of `--query`."""
    return f"`{json.dumps(text).replace('`', chr(92) + '`')}`"
