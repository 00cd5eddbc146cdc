"""Is the mailbox in the scope of the role "Application SMTP.SendAsApp" (RBAC for Applications)?

Test-ServicePrincipalAuthorization answers from the roles as they are now; the mail servers may lag by two hours.
https://learn.microsoft.com/exchange/permissions-exo/application-rbac
"""

from smtpcheck.inspection import members
from smtpcheck.inspection.exchange import Cmdlet
from smtpcheck.inspection.plan import Option
from smtpcheck.inspection.question import EXCHANGE_NEEDS, About, Answer, Asked, Question
from smtpcheck.model.inspection import FactName

SMTP_ROLE = "Application SMTP.SendAsApp"


async def _ask(asked: Asked) -> Answer:
    by, client_id = Cmdlet.TEST_AUTHORIZATION, asked.subject.client_id.lower()
    rows = await asked.exchange.run(by, asked.now, Identity=client_id, Resource=asked.subject.mailbox)
    smtp = [each.members for each in rows if members.text(each.members, "RoleName", 80) == SMTP_ROLE]
    in_scope = {members.text(row, "InScope", 20).lower() or str(members.flag(row, "InScope")).lower() for row in smtp}
    if in_scope - {"true", "false"}:
        return ()
    return (asked.fact(FactName.ROLE_IN_SCOPE, by, value="true" in in_scope),)


ROLE_SCOPE = Question(
    "role_scope",
    "whether the mailbox is in the scope of the SMTP role",
    About.MAILBOX,
    EXCHANGE_NEEDS,
    _ask,
    (FactName.ROLE_IN_SCOPE,),
    Option.EXCHANGE,
)
