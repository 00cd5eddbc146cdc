"""What a user chooses from: what a script is written for, and how an application gets its mailboxes.

Rule of this file: it imports nothing of ours, for the command line shows these words without loading anything else.
"""

from enum import StrEnum


class Target(StrEnum):
    """What a script is written for."""

    GRAPH_POWERSHELL = "graph-powershell"
    AZURE_CLI = "azure-cli"
    TERRAFORM = "terraform"
    GCLOUD = "gcloud"


class SetupProvider(StrEnum):
    """Whose tenant it is, where no configuration says so."""

    MICROSOFT = "microsoft"
    GOOGLE = "google"


class Grant(StrEnum):
    """How an application gets its mailboxes."""

    MAILBOX = "mailbox"
    """Consent in Entra, and FullAccess to each mailbox."""
    RBAC_GROUP = "rbac-group"
    """Exchange's RBAC for Applications, limited to the members of a group."""
    RBAC_AU = "rbac-au"
    """The same, limited to an administrative unit."""
