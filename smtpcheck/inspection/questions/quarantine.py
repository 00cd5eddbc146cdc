"""Is a message in quarantine, why, and until when?

Asked by Message-ID. Of the policy only its kind is kept, not the name that an administrator gave it.
https://learn.microsoft.com/powershell/module/exchangepowershell/get-quarantinemessage
Who may read it: https://learn.microsoft.com/defender-office-365/quarantine-admin-manage-messages-files
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from smtpcheck.inspection import members
from smtpcheck.inspection.exchange import Cmdlet
from smtpcheck.inspection.plan import Option
from smtpcheck.inspection.question import EXCHANGE_NEEDS, About, Answer, Asked, Question
from smtpcheck.model.inspection import FactName
from smtpcheck.model.timestamp import rfc3339

_BY = Cmdlet.QUARANTINE
_TYPES = {
    "bulk": "bulk",
    "spam": "spam",
    "phish": "phishing",
    "highconfphish": "high confidence phishing",
    "malware": "malware",
    "spomalware": "malware",
    "filetypeblock": "file type",
    "transportrule": "mail flow rule",
    "datalossprevention": "data loss prevention",
}
_POLICIES = {
    "hostedcontentfilterpolicy": "anti-spam policy",
    "antiphishpolicy": "anti-phishing policy",
    "antimalwarepolicy": "anti-malware policy",
    "safeattachmentpolicy": "Safe Attachments policy",
    "exchangetransportrule": "mail flow rule",
    "datalossprevention": "data loss prevention policy",
}
_RELEASES = {
    "notreleased": "not released",
    "requested": "release requested",
    "approved": "release approved",
    "preparingtorelease": "being released",
    "released": "released",
    "denied": "release denied",
    "error": "release failed",
}
"""Each by the provider's word in lower case; any other is `other`."""


async def _ask(asked: Asked) -> Answer:
    wanted = asked.subject.message_id.strip("<>")
    rows = await asked.exchange.run(_BY, asked.now, MessageId=f"<{wanted}>")
    same = [
        row for row in rows if members.text(row.members, "MessageId", 500).strip("<>").casefold() == wanted.casefold()
    ]
    to = asked.subject.mailbox.casefold()
    ours = next((row for row in same if to in map(str.casefold, members.texts(row.members, "RecipientAddress"))), None)
    found = ours or next(iter(same), None)
    facts = [asked.fact(FactName.QUARANTINED, _BY, value=found is not None)]
    if found is None:
        return tuple(facts)
    row = found.members
    said = {
        FactName.QUARANTINE_TYPE: _known(row, ("QuarantineTypes", "Type"), _TYPES),
        FactName.QUARANTINE_POLICY: _known(row, ("PolicyType",), _POLICIES),
        FactName.QUARANTINE_RELEASE: _known(row, ("ReleaseStatus",), _RELEASES),
    }
    facts += [asked.fact(name, _BY, value=value) for name, value in said.items() if value]
    if (expires := members.moment(row, "Expires", found.offset)) is not None:
        facts.append(asked.fact(FactName.QUARANTINE_EXPIRES, _BY, value=rfc3339(expires)))
    return tuple(facts)


def _known(row: Mapping[str, Any], keys: tuple[str, ...], words: Mapping[str, str]) -> str:
    """Return the first of these members that is there, in our words; empty where none is."""
    said = next((word for key in keys for word in members.texts(row, key) if word), "")
    return words.get(said.lower(), "other") if said else ""


QUARANTINE = Question(
    "quarantine",
    "why a message is in quarantine",
    About.MESSAGE,
    replace(EXCHANGE_NEEDS, directory_roles=("Security Reader", "Global Reader")),
    _ask,
    (
        FactName.QUARANTINED,
        FactName.QUARANTINE_TYPE,
        FactName.QUARANTINE_POLICY,
        FactName.QUARANTINE_RELEASE,
        FactName.QUARANTINE_EXPIRES,
    ),
    Option.EXCHANGE,
)
