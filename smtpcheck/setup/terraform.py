"""The script for Terraform: Entra as resources, and the part for Exchange Online PowerShell as an output.

Rules of this file:
- What exists already is read and never managed: `terraform destroy` removes what this script added, and nothing else.
- No secret: Terraform would write it into its state.
"""

import re
from collections.abc import Iterator

from smtpcheck.model.permission import Api
from smtpcheck.oauth.clouds import CLOUDS, Cloud
from smtpcheck.setup.exchange import exchange_script, needs_exchange
from smtpcheck.setup.hcl import comment, heredoc, quote
from smtpcheck.setup.parts import head, joined
from smtpcheck.setup.plan import Application, ProofKind, SetupError, SetupPlan

_ENVIRONMENTS = {
    Cloud.GLOBAL: "global",
    Cloud.GCC_HIGH: "usgovernmentl4",
    Cloud.DOD: "usgovernmentl5",
    Cloud.CHINA: "china",
}
"""What the provider azuread calls each cloud."""
_GUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_HOW = (
    "Read it, sign in (az login --tenant ..., or as the provider's page says), and run:",
    "  terraform init && terraform apply",
)
_HOW_IN_EXCHANGE = (
    "  terraform output -raw exchange_script > smtpcheck-exchange.ps1",
    '  pwsh -Command "./smtpcheck-exchange.ps1 $(terraform output -raw exchange_arguments) -CheckOnly"',
    '  pwsh -Command "./smtpcheck-exchange.ps1 $(terraform output -raw exchange_arguments)"',
    "The last line writes a record, which smtpcheck setup --undo takes back; then terraform destroy.",
)
_TESTED = ("Such scripts are tested by parsers, not in a tenant.",)


def terraform_script(plan: SetupPlan) -> str:
    """Return the whole script for a plan.

    Raises:
        SetupError: A new application would need a secret.
    """
    for application in plan.applications:
        if application.proof.kind is ProofKind.SECRET and not application.client_id:
            raise SetupError(
                f"credential {application.credential}: Terraform would write the new application's secret into its "
                "state; use a certificate (--make-key FILE), or --to graph-powershell"
            )
    in_exchange = any(map(needs_exchange, plan.applications))
    how = (*_HOW, *(_HOW_IN_EXCHANGE if in_exchange else ()), *_TESTED)
    lines = head(f"Sets tenant {plan.tenant} up for smtpcheck.", how, [*plan.notes, *_notes(plan)])
    return joined(
        [
            "\n".join(map(comment, lines)),
            _provider(plan),
            _tenant(plan),
            *_apis(plan),
            *(block for application, name in _named(plan) for block in _application(application, name, plan.cloud)),
            *_outputs(plan, in_exchange=in_exchange),
        ]
    )


def _notes(plan: SetupPlan) -> Iterator[str]:
    if any(application.client_id for application in plan.applications):
        yield (
            "A consent that an application has already has to be imported first: terraform import "
            "azuread_app_role_assignment.NAME /servicePrincipals/ID/appRoleAssignedTo/ID."
        )
    for application in plan.applications:
        for consent in application.superseded if application.client_id else ():
            yield (
                f"If the application of credential {application.credential} has consent to {consent.name}, remove it "
                "by --to graph-powershell with -Replace: it reaches beyond the group or brings back the check of the "
                "mailbox permission."
            )


def _named(plan: SetupPlan) -> Iterator[tuple[Application, str]]:
    """Yield each application with a name for its resources, which no other one has."""
    taken: set[str] = set()
    for application in plan.applications:
        name = plain = re.sub(r"[^a-z0-9_]", "_", f"app_{application.credential.lower()}")
        while name in taken:
            name = f"{plain}_{len(taken)}"
        taken.add(name)
        yield application, name


def _block(head_: str, *lines: str) -> str:
    return "\n".join([f"{head_} {{", *(f"  {line}" for line in lines), "}"])


def _provider(plan: SetupPlan) -> str:
    tenant = [f"tenant_id   = {quote(plan.tenant)}"] if _GUID.fullmatch(plan.tenant) else []
    return "\n\n".join(
        (
            _block(
                "terraform",
                "required_providers {",
                "  azuread = {",
                '    source  = "hashicorp/azuread"',
                '    version = "~> 3.0"',
                "  }",
                "}",
            ),
            _block('provider "azuread"', f"environment = {quote(_ENVIRONMENTS[plan.cloud])}", *tenant),
            'data "azuread_client_config" "current" {}',
        )
    )


def _tenant(plan: SetupPlan) -> str:
    """Return what stops Terraform in another tenant."""
    if _GUID.fullmatch(plan.tenant):
        return ""
    tenant = quote(plan.tenant)
    return _block(
        'data "azuread_domains" "tenant"',
        "lifecycle {",
        "  postcondition {",
        f"    condition     = contains([for each in self.domains : lower(each.domain_name)], lower({tenant}))",
        f"    error_message = {quote(f'Terraform is signed in to another tenant than {plan.tenant}.')}",
        "  }",
        "}",
    )


def _apis(plan: SetupPlan) -> Iterator[str]:
    used = {consent.api for application in plan.applications for consent in application.consents}
    for api in Api:
        if api in used:
            yield _block(f'data "azuread_service_principal" "{api.name.lower()}"', f"client_id = {quote(api.app_id)}")


def _application(application: Application, name: str, cloud: Cloud) -> Iterator[str]:
    yield comment(f"The application of credential {application.credential}")
    if application.client_id:
        yield _block(f'data "azuread_service_principal" "{name}"', f"client_id = {quote(application.client_id)}")
    elif application.object_id:
        yield _block(f'data "azuread_service_principal" "{name}"', f"object_id = {quote(application.object_id)}")
    else:
        yield _block(
            f'resource "azuread_application_registration" "{name}"',
            f"display_name = {quote(application.display_name)}",
        )
        yield _block(
            f'resource "azuread_service_principal" "{name}"',
            f"client_id = azuread_application_registration.{name}.client_id",
        )
        yield from _listed(application, name)
    yield from _proof(application, name, cloud)
    principal = _principal(application, name)
    for consent in application.consents:
        api = f"data.azuread_service_principal.{consent.api.name.lower()}"
        yield _block(
            f'resource "azuread_app_role_assignment" "{name}_{_word(consent.name)}"',
            f"app_role_id         = {api}.app_role_ids[{quote(consent.name)}]",
            f"principal_object_id = {principal}.object_id",
            f"resource_object_id  = {api}.object_id",
        )


def _word(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "_", name.lower())


def _principal(application: Application, name: str) -> str:
    is_there = application.client_id or application.object_id
    return f"{'data.' if is_there else ''}azuread_service_principal.{name}"


def _listed(application: Application, name: str) -> Iterator[str]:
    """Yield the list of permissions of a new application, without which a consent in the portal would remove them."""
    for api in Api:
        names = [consent.name for consent in application.consents if consent.api is api]
        if names:
            found = f"data.azuread_service_principal.{api.name.lower()}"
            yield _block(
                f'resource "azuread_application_api_access" "{name}_{api.name.lower()}"',
                f"application_id = azuread_application_registration.{name}.id",
                f"api_client_id  = {found}.client_id",
                f"role_ids       = [{', '.join(f'{found}.app_role_ids[{quote(each)}]' for each in names)}]",
            )


def _proof(application: Application, name: str, cloud: Cloud) -> Iterator[str]:
    """Yield what proves the application; it is added to what an existing one has."""
    proof = application.proof
    if proof.kind in {ProofKind.SECRET, ProofKind.NONE}:
        return
    registered = f"azuread_application_registration.{name}"
    if application.client_id:
        yield _block(f'data "azuread_application" "{name}"', f"client_id = {quote(application.client_id)}")
        registered = f"data.azuread_application.{name}"
    if proof.kind is ProofKind.CERTIFICATE:
        yield _block(
            f'resource "azuread_application_certificate" "{name}"',
            f"application_id = {registered}.id",
            'type           = "AsymmetricX509Cert"',
            f"end_date       = {quote(proof.expires)}",
            f"value          = {heredoc(proof.pem + chr(10))}",
        )
        return
    issuer = quote(proof.issuer)
    if proof.kind is ProofKind.MANAGED_IDENTITY:
        issuer = f'"https://{CLOUDS[cloud].authority}/${{data.azuread_client_config.current.tenant_id}}/v2.0"'
    yield _block(
        f'resource "azuread_application_federated_identity_credential" "{name}"',
        f"application_id = {registered}.id",
        'display_name   = "smtpcheck"',
        f"audiences      = [{quote(proof.audience)}]",
        f"issuer         = {issuer}",
        f"subject        = {quote(proof.subject)}",
    )


def _outputs(plan: SetupPlan, *, in_exchange: bool) -> Iterator[str]:
    principals = [_principal(application, name) for application, name in _named(plan)]
    clients = [
        f"{quote(application.credential)} = {principal}.client_id"
        for application, principal in zip(plan.applications, principals, strict=True)
    ]
    yield "\n".join(
        [
            comment("Write these into the configuration"),
            _block('output "client_ids"', "value = {", *(f"  {line}" for line in clients), "}"),
        ]
    )
    if not in_exchange:
        return
    ids = {
        "ClientIds": [f"{each}.client_id" for each in principals],
        "ObjectIds": [f"{each}.object_id" for each in principals],
    }
    arguments = " ".join(f"-{name} '${{join(\",\", [{', '.join(values)}])}}'" for name, values in ids.items())
    tenant = "${data.azuread_client_config.current.tenant_id}"
    yield _block('output "exchange_arguments"', f'value = "-TenantId {tenant} {arguments}"')
    yield _block('output "exchange_script"', f"value = {heredoc(exchange_script(plan))}")
