"""A stand-in of the Azure CLI with a tenant of its own: enough of `az` to run a script for it against.

Rule of this file: it answers as the documentation of a command says, and an unknown command is an error, as with the
real one. `TENANT` names the file of its state.
"""

import json
import os
import re
import sys
import uuid
from itertools import takewhile
from pathlib import Path
from typing import Any

import jmespath

EXCHANGE = "00000002-0000-0ff1-ce00-000000000000"
GRAPH = "00000003-0000-0000-c000-000000000000"
ROLES = {
    EXCHANGE: ("SMTP.SendAsApp", "IMAP.AccessAsApp", "Mail.Send"),
    GRAPH: ("Mail.ReadWrite", "Application.Read.All"),
}
TENANT_ID = "99999999-0000-0000-0000-000000000001"


def new_tenant() -> dict[str, Any]:
    """Return a tenant with Exchange and Graph and no application of its own."""
    apis = [
        {
            "id": str(uuid.uuid5(uuid.NAMESPACE_OID, api)),
            "appId": api,
            "appRoles": [
                {"id": str(uuid.uuid5(uuid.NAMESPACE_OID, name)), "value": name, "allowedMemberTypes": ["Application"]}
                for name in names
            ],
            "assignments": [],
        }
        for api, names in ROLES.items()
    ]
    return {"apps": [], "principals": apis, "roles": ["Global Administrator"], "calls": []}


def application(client_id: str, name: str = "billing") -> dict[str, Any]:
    """Return an application as Graph describes it."""
    return {
        "id": str(uuid.uuid4()),
        "appId": client_id,
        "displayName": name,
        "tags": [],
        "requiredResourceAccess": [],
        "keyCredentials": [],
        "passwordCredentials": [],
        "federated": [],
    }


class FakeAz:
    """One call of `az`."""

    def __init__(self, state: dict[str, Any], words: list[str], options: dict[str, str]) -> None:
        self.state = state
        self.words = words
        self.options = options

    def answer(self) -> Any:
        """Return what the command prints, before `--query`."""
        return getattr(self, "_".join(self.words).replace("-", "_"))()

    def cloud_show(self) -> Any:
        return {"name": "AzureCloud"}

    def account_show(self) -> Any:
        return {"tenantId": TENANT_ID}

    def ad_app_list(self) -> Any:
        if "app-id" in self.options:
            return [app for app in self.state["apps"] if app["appId"] == self.options["app-id"]]
        return [app for app in self.state["apps"] if app["displayName"].startswith(self.options["display-name"])]

    def ad_app_show(self) -> Any:
        return self._app()

    def ad_sp_list(self) -> Any:
        wanted = re.fullmatch(r"appId eq '([^']*)'", self.options["filter"])
        assert wanted
        return [each for each in self.state["principals"] if each["appId"] == wanted[1]]

    def ad_sp_show(self) -> Any:
        return next(each for each in self.state["principals"] if self.options["id"] in {each["appId"], each["id"]})

    def ad_sp_create(self) -> Any:
        principal = {"id": str(uuid.uuid4()), "appId": self.options["id"], "appRoles": [], "assignments": []}
        self.state["principals"].append(principal)
        return principal

    def ad_app_permission_add(self) -> Any:
        role, kind = self.options["api-permissions"].split("=")
        entry = {"resourceAppId": self.options["api"], "resourceAccess": [{"id": role, "type": kind}]}
        self._app()["requiredResourceAccess"].append(entry)

    def ad_app_credential_list(self) -> Any:
        return self._app()["keyCredentials" if "cert" in self.options else "passwordCredentials"]

    def ad_app_credential_reset(self) -> Any:
        """Without --append it replaces all others, as the real one does."""
        from cryptography.hazmat.primitives.hashes import SHA1
        from cryptography.x509 import load_pem_x509_certificate

        certificate = load_pem_x509_certificate(Path(self.options["cert"].removeprefix("@")).read_bytes())
        app = self._app()
        kept = app["keyCredentials"] if "append" in self.options else []
        key = {"customKeyIdentifier": certificate.fingerprint(SHA1()).hex().upper(), "keyId": str(uuid.uuid4())}
        app["keyCredentials"] = [*kept, key]
        return {"appId": app["appId"]}

    def ad_app_federated_credential_list(self) -> Any:
        return self._app()["federated"]

    def ad_app_federated_credential_create(self) -> Any:
        made = {"id": str(uuid.uuid4()), **json.loads(self.options["parameters"])}
        self._app()["federated"].append(made)
        return made

    def rest(self) -> Any:
        path = self.options["url"].removeprefix("https://graph.microsoft.com/v1.0/").partition("?")[0]
        body = json.loads(self.options.get("body", "{}"))
        match self.options.get("method", "GET"), *path.split("/"):
            case "GET", "organization":
                return {"value": [{"verifiedDomains": [{"name": "contoso.onmicrosoft.com"}, {"name": "contoso.com"}]}]}
            case "GET", "me", *_:
                return {"value": [{"displayName": role} for role in self.state["roles"]]}
            case "POST", "applications":
                self.state["apps"].append({**application(str(uuid.uuid4())), **body})
                return self.state["apps"][-1]
            case "POST", "applications", identity, "addPassword":
                app = next(each for each in self.state["apps"] if each["id"] == identity)
                app["passwordCredentials"].append({"keyId": str(uuid.uuid4()), "endDateTime": "2028-11-27T00:00:00Z"})
                return {**app["passwordCredentials"][-1], "secretText": "shown-once"}
            case "GET", "servicePrincipals", identity, "appRoleAssignments":
                return {"value": self._principal(identity)["assignments"]}
            case "POST", "servicePrincipals", identity, "appRoleAssignments":
                self._principal(identity)["assignments"].append({"id": f"assignment-{uuid.uuid4().hex[:8]}", **body})
                return self._principal(identity)["assignments"][-1]
            case "DELETE", "servicePrincipals", identity, "appRoleAssignments", assignment:
                principal = self._principal(identity)
                principal["assignments"] = [each for each in principal["assignments"] if each["id"] != assignment]
                return None
        raise NotImplementedError(path)

    def _app(self) -> Any:
        return next(app for app in self.state["apps"] if app["appId"] == self.options["id"])

    def _principal(self, identity: str) -> Any:
        return next(each for each in self.state["principals"] if each["id"] == identity)


def main(arguments: list[str]) -> None:
    """Answer one call."""
    file = Path(os.environ["TENANT"])
    state = json.loads(file.read_text())
    words = list(takewhile(lambda each: not each.startswith("-"), arguments))
    options: dict[str, str] = {}
    rest = arguments[len(words) :]
    while rest:
        name = rest.pop(0).lstrip("-")
        options[name] = rest.pop(0) if rest and not rest[0].startswith("--") else ""
    state["calls"].append(words)
    answer = FakeAz(state, words, options).answer()
    file.write_text(json.dumps(state))
    found = jmespath.search(options["query"], answer) if "query" in options else answer
    if options.get("o") == "tsv":
        for row in found if isinstance(found, list) else [found]:
            sys.stdout.write(f"{'' if row is None else row}\n")
    elif found is not None and "only-show-errors" not in options:
        sys.stdout.write(f"{json.dumps(found)}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
