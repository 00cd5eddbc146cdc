"""What each finder needs to be granted at Microsoft.

Rule of this file: what a finder needs to search and to delete in the one mailbox, and nothing for its conveniences.
"""

from smtpcheck.loopback.plan import FindVia
from smtpcheck.model.permission import Api, Permission

PERMISSIONS: dict[FindVia, tuple[Permission, ...]] = {
    FindVia.IMAP: (Permission(Api.EXCHANGE, "IMAP.AccessAsApp", full_access=True),),
    FindVia.GRAPH: (Permission(Api.GRAPH, "Mail.ReadWrite", exchange_role="Application Mail.ReadWrite"),),
    FindVia.NONE: (),
}
"""By the way that messages are found again. Exchange's RBAC for Applications has no role for IMAP
(https://learn.microsoft.com/exchange/permissions-exo/application-rbac)."""
