"""What has the organisation set that mail depends on: sending from an alias, application roles, password policies?"""

from smtpcheck.inspection import members
from smtpcheck.inspection.exchange import Cmdlet
from smtpcheck.inspection.plan import Option
from smtpcheck.inspection.question import About, Answer, Asked, Question, exchange_needs
from smtpcheck.model.inspection import Fact, FactName

_SWITCHES = (
    ("SendFromAliasEnabled", FactName.SEND_FROM_ALIAS),
    ("EnforceExoAppRbacPermissions", FactName.APP_RBAC_ENFORCED),
)


async def _ask(asked: Asked) -> Answer:
    config = await asked.exchange.run(Cmdlet.ORGANIZATION_CONFIG, asked.now)
    facts: list[Fact] = []
    for key, name in _SWITCHES if config else ():
        if (value := members.flag(config[0].members, key)) is not None:
            facts.append(asked.fact(name, Cmdlet.ORGANIZATION_CONFIG, value=value))
    policies = await asked.exchange.run(Cmdlet.AUTHENTICATION_POLICY, asked.now)
    allowing = sum(members.flag(each.members, "AllowBasicAuthSmtp") is True for each in policies)
    shown = f"{allowing} of {len(policies)} allow passwords for SMTP"
    facts.append(asked.fact(FactName.BASIC_AUTH_SMTP, Cmdlet.AUTHENTICATION_POLICY, value=shown))
    return tuple(facts)


ORGANISATION = Question(
    "organisation",
    "the organisation's settings and authentication policies",
    About.TENANT,
    exchange_needs(2),
    _ask,
    (FactName.SEND_FROM_ALIAS, FactName.APP_RBAC_ENFORCED, FactName.BASIC_AUTH_SMTP),
    Option.EXCHANGE,
)
