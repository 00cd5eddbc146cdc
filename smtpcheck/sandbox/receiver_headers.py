"""What receivers write on top of a message that they take: Exchange Online, Gmail, and a Postfix with its filters.

Rules of this file:
- Pure. The forms are those of real messages; which verdict a field gives is data of a scenario.
- Exchange Online names no server in Authentication-Results, Gmail writes one field, each filter of a Postfix its own.
"""

from email.utils import formatdate

from smtpcheck.sandbox.bounces import Style

GMAIL_ID, POSTFIX_ID = "mx.google.com", "mx.contoso.example"
"""By what name they give their results (RFC 8601 2.5)."""
_FARM = "eurprd05.prod.outlook.com"


def received(style: Style, recipient: str, now: float, delay: float) -> str:
    """Return the Received headers of two hops, topmost first, and what else says how the message came."""
    at, before = formatdate(now), formatdate(now - delay)
    if style is Style.GMAIL:
        return (
            f"Delivered-To: {recipient}\r\nReceived: by 2002:a05:6a10:1 with SMTP id x1csp1; {at}\r\n"
            f"Received: from {_FARM} ({_FARM}. [192.0.2.10])\r\n by {GMAIL_ID} with ESMTPS id x1si1 for <{recipient}>"
            f"\r\n (version=TLS1_3 cipher=TLS_AES_256_GCM_SHA384 bits=256/256);\r\n {before}\r\n"
        )
    if style is Style.POSTFIX:
        return (
            f"Received: from {_FARM} (unknown [192.0.2.10])\r\n by {POSTFIX_ID} (Postfix) with ESMTPS id 4F1\r\n"
            f" for <{recipient}>; {at}\r\nReceived: from client.example ([192.0.2.20])\r\n by {_FARM} with ESMTPSA;"
            f"\r\n {before}\r\n"
        )
    front, hub = f"AM6PR0001MB0001.{_FARM}", f"AM6PR0001MB0002.{_FARM}"
    hops = "".join(
        f"Received: from {source} (127.0.0.1)\r\n by {host} (127.0.0.1) with Microsoft SMTP Server\r\n"
        f" (version=TLS1_3, cipher=TLS_AES_256_GCM_SHA384) id 15.20.1.1 for <{recipient}>;\r\n {time}\r\n"
        for source, host, time in ((front, hub, at), ("client.example", front, before))
    )
    minutes, seconds = divmod(delay, 60)
    return f"{hops}X-MS-Exchange-Transport-EndToEndLatency: 00:{int(minutes):02d}:{seconds:010.7f}\r\n"


def authentication(results: str) -> str:
    """Return the fields for results, a line for each."""
    return "".join(f"Authentication-Results: {line}\r\n" for line in results.splitlines())


def exchange_verdict(scl: int, verdict: str, category: str, where: str, by: str) -> str:
    """Return what Exchange Online's filter found, and what the mailbox did: `where` is I, J or C, `by` who did it."""
    return (
        f"X-Forefront-Antispam-Report: CIP:192.0.2.20;CTRY:DE;LANG:en;SCL:{scl};SRV:;IPV:NLI;SFV:{verdict};\r\n"
        f" H:client.example;PTR:InfoDomainNonexistent;CAT:{category};SFS:(13230040)(366016);DIR:INB;\r\n"
        "X-Microsoft-Antispam: BCL:0;\r\n"
        f"X-Microsoft-Antispam-Mailbox-Delivery: ucf:0;jmr:0;auth:0;dest:{where};OFR:{by};ENG:(910001)(944506);\r\n"
    )


OUTBOUND_SPAM = (
    "X-Forefront-Antispam-Report: CIP:255.255.255.255;CTRY:;LANG:en;SCL:5;SRV:;IPV:NLI;SFV:SPM;\r\n"
    f" H:AM6PR0001MB0001.{_FARM};PTR:;CAT:OSPM;SFS:(13230040)(366016);DIR:OUT;SFP:1501;\r\n"
)
"""What Exchange Online writes when it rates a message as spam that leaves."""
SPAMASSASSIN = (
    "X-Spam-Flag: YES\r\nX-Spam-Status: Yes, score=7.3 required=5.0 tests=DKIM_INVALID,\r\n"
    " FROM_LOCAL_DIGITS,SPF_SOFTFAIL autolearn=no autolearn_force=no version=4.0.1\r\n"
)
"""What SpamAssassin writes above everything else."""
