"""What an application needs to be granted at Microsoft, as data that each user of a right declares for itself.

Rule of this file: a permission says every form in which it can be granted; which of them is chosen is `setup`'s.
"""

from dataclasses import dataclass
from enum import Enum


class Api(Enum):
    """The API that a permission belongs to: the name that administrators know, and its id, the same in every tenant."""

    EXCHANGE = ("Office 365 Exchange Online", "00000002-0000-0ff1-ce00-000000000000")
    GRAPH = ("Microsoft Graph", "00000003-0000-0000-c000-000000000000")

    @property
    def title(self) -> str:
        """The name in the portal."""
        return self.value[0]

    @property
    def app_id(self) -> str:
        """The application id, the same in every tenant."""
        return self.value[1]


@dataclass(frozen=True, slots=True)
class Permission:
    """One right of an application."""

    api: Api
    name: str
    """The application permission, such as `SMTP.SendAsApp`; consent reaches every mailbox, unless Exchange asks for
    `full_access` too."""
    exchange_role: str = ""
    """The role of Exchange's RBAC for Applications that grants the same for chosen mailboxes; empty: there is none."""
    full_access: bool = False
    """Whether with the application permission Exchange also demands FullAccess to the mailbox."""
    role_group: str = ""
    """The role group of Exchange that the application has to be a member of besides; empty: none."""
