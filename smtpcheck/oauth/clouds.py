"""The clouds of Microsoft, as data: which hosts, scope and Graph belong together.

Rules of this file:
- A tenant lives in exactly one cloud, and a token of one cloud is refused by every other one
  (https://learn.microsoft.com/graph/deployments). `global` includes GCC (moderate).
- The rows of `gcc-high`, `dod` and `china` come from public client configurations rather than from pages of Microsoft
  on SMTP; a site that knows better sets `authority` and `scope` itself.
"""

from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit


class Cloud(StrEnum):
    """The clouds of Microsoft, as they are written in the configuration."""

    GLOBAL = "global"
    GCC_HIGH = "gcc-high"
    DOD = "dod"
    CHINA = "china"


@dataclass(frozen=True, slots=True)
class CloudFacts:
    """What one cloud consists of."""

    authority: str
    """The host of the issuer."""
    smtp_host: str
    """The host of client submission, port 587 with STARTTLS."""
    scope: str
    """The scope of an app-only token for SMTP."""
    delegated_scope: str
    """The scope of a user's token for SMTP."""
    graph: str
    """The host of Microsoft Graph."""
    imap_host: str
    """The host of IMAP, port 993 with implicit TLS."""
    delegated_imap_scope: str
    """The scope of a user's token for IMAP; an app-only one is for the whole of Exchange."""


CLOUDS: dict[Cloud, CloudFacts] = {
    Cloud.GLOBAL: CloudFacts(
        authority="login.microsoftonline.com",
        smtp_host="smtp.office365.com",
        scope="https://outlook.office365.com/.default",
        delegated_scope="https://outlook.office.com/SMTP.Send",
        graph="graph.microsoft.com",
        imap_host="outlook.office365.com",
        delegated_imap_scope="https://outlook.office.com/IMAP.AccessAsUser.All",
    ),
    Cloud.GCC_HIGH: CloudFacts(
        authority="login.microsoftonline.us",
        smtp_host="smtp.office365.us",
        scope="https://outlook.office365.us/.default",
        delegated_scope="https://outlook.office365.us/SMTP.Send",
        graph="graph.microsoft.us",
        imap_host="outlook.office365.us",
        delegated_imap_scope="https://outlook.office365.us/IMAP.AccessAsUser.All",
    ),
    Cloud.DOD: CloudFacts(
        authority="login.microsoftonline.us",
        smtp_host="outlook-dod.office365.us",
        scope="https://outlook-dod.office365.us/.default",
        delegated_scope="https://outlook.office365.us/SMTP.Send",
        graph="dod-graph.microsoft.us",
        imap_host="outlook-dod.office365.us",
        delegated_imap_scope="https://outlook.office365.us/IMAP.AccessAsUser.All",
    ),
    Cloud.CHINA: CloudFacts(
        authority="login.partner.microsoftonline.cn",
        smtp_host="smtp.partner.outlook.cn",
        scope="https://partner.outlook.cn/.default",
        delegated_scope="https://partner.outlook.cn/SMTP.Send",
        graph="microsoftgraph.chinacloudapi.cn",
        imap_host="partner.outlook.cn",
        delegated_imap_scope="https://partner.outlook.cn/IMAP.AccessAsUser.All",
    ),
}


def clouds_of_scope(scope: str) -> frozenset[Cloud]:
    """Return the clouds whose SMTP scopes have the same host as `scope`; empty for a host of none of them."""
    host = urlsplit(scope).hostname
    return frozenset(
        cloud
        for cloud, facts in CLOUDS.items()
        if host in {urlsplit(facts.scope).hostname, urlsplit(facts.delegated_scope).hostname}
    )


def clouds_of_imap_host(host: str) -> frozenset[Cloud]:
    """Return the clouds that have this host for IMAP; empty for a host of none of them."""
    return frozenset(cloud for cloud, facts in CLOUDS.items() if facts.imap_host == host.lower().rstrip("."))


def clouds_of_smtp_host(host: str) -> frozenset[Cloud]:
    """Return the clouds that have this host for client submission; empty for a host of none of them."""
    return frozenset(cloud for cloud, facts in CLOUDS.items() if facts.smtp_host == host.lower().rstrip("."))
