"""A stand-in of the Google Cloud CLI with a project of its own: enough of `gcloud` to run a script for it against.

Rule of this file: an unknown command is an error, as with the real one. `PROJECT_STATE` names the file of its state.
"""

import json
import os
import sys
from itertools import takewhile
from pathlib import Path
from typing import Any


def new_project() -> dict[str, Any]:
    """Return a project without any service account."""
    return {
        "accounts": {},
        "keys": [],
        "services": [],
        "bindings": [],
        "pools": [],
        "providers": [],
        "keys_allowed": True,
    }


def main(arguments: list[str]) -> int:
    """Answer one call and return its exit code."""
    file = Path(os.environ["PROJECT_STATE"])
    state = json.loads(file.read_text())
    words = list(takewhile(lambda each: not each.startswith("-"), arguments))
    options = dict(zip(arguments, [*arguments[1:], ""], strict=True))
    said, code = _answer(state, words, options)
    file.write_text(json.dumps(state))
    sys.stdout.write(f"{said}\n" if said else "")
    return code


def _answer(state: dict[str, Any], words: list[str], options: dict[str, str]) -> tuple[str, int]:
    match words:
        case ["config", "get-value", "project"]:
            return "mail-1", 0
        case ["projects", "describe", project]:
            return ("4711", 0) if project == "mail-1" else ("", 1)
        case ["services", "list"]:
            name = next(each for each in options if each.startswith("--filter=")).rpartition("=")[2]
            return name if name in state["services"] else "", 0
        case ["services", "enable", name]:
            state["services"].append(name)
            return "", 0
        case ["iam", "service-accounts", "list"]:
            email = next(each for each in options if each.startswith("--filter=email=")).rpartition("=")[2]
            return state["accounts"].get(email, ""), 0
        case ["iam", "service-accounts", "create", name]:
            state["accounts"][f"{name}@{options['--project']}.iam.gserviceaccount.com"] = "108"
            return "", 0
        case ["iam", "service-accounts", "keys", "create", path] if state["keys_allowed"]:
            state["keys"].append(options["--iam-account"])
            Path(path).write_text(json.dumps({"private_key_id": "abc123", "private_key": "x"}, indent=2))
            return "", 0
        case ["iam", "service-accounts", "add-iam-policy-binding", _]:
            binding = [options["--role"], options["--member"]]
            state["bindings"] += [binding] if binding not in state["bindings"] else []
            return "", 0
        case ["iam", "workload-identity-pools", "describe", name]:
            return "", 0 if name in state["pools"] else 1
        case ["iam", "workload-identity-pools", "create", name]:
            state["pools"].append(name)
            return "", 0
        case ["iam", "workload-identity-pools", "providers", "describe", name]:
            return "", 0 if name in [each[0] for each in state["providers"]] else 1
        case ["iam", "workload-identity-pools", "providers", "create-oidc", name]:
            state["providers"].append([name, options["--issuer-uri"]])
            return "", 0
        case ["iam", "workload-identity-pools", "create-cred-config", _]:
            Path(options["--output-file"]).write_text("{}")
            return "", 0
        case ["iam", *_, "delete" | "remove-iam-policy-binding", name]:
            state.setdefault("removed", []).append(name)
            return "", 0
    sys.stderr.write(f"ERROR: (gcloud) Invalid choice: {words}\n")
    return "", 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
