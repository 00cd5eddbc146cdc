"""Titles of Microsoft's message centre, and which of them are about submission by SMTP. Written before the rule.

An id is a message's own; the others are titles of the Exchange team's announcements, which its messages repeat.
"""

RELEVANT = (
    "(Updated) Exchange Online to retire Basic Auth for Client Submission (SMTP AUTH)",  # MC786329
    "Exchange Online to retire Basic Auth for Client Submission (SMTP AUTH)",  # MC786329, 2024-04-26
    "Updated Exchange Online SMTP AUTH Basic Authentication Deprecation Timeline",
    "New opt-in endpoint available for SMTP AUTH clients still needing legacy TLS",
    "Opt in to the Exchange Online endpoint for legacy TLS clients using SMTP AUTH",
    "Improving Security - Together: SMTP AUTH client submission and OAuth",
    "Announcing OAuth 2.0 support for IMAP and SMTP AUTH protocols in Exchange Online",
    "Announcing Public Preview of Role Based Access Control for Applications in Exchange Online",
    "(Updated) RBAC for Applications in Exchange Online",
)
"""What an administrator of a sending application has to know."""
OTHER = (
    "(Updated) Exchange Online support for Active Directory Rights Management Service (AD RMS) retiring",  # MC236526
    "Retirement of RBAC Application Impersonation in Exchange Online",  # MC718754, about EWS
    "Basic Authentication Deprecation in Exchange Online \u2013 September 2022 Update",  # MC424238: not SMTP AUTH
    "Basic Authentication \u2013 Monthly Usage Report",
    "Introducing Support for Concurrent Exchange Online License Assignments",  # MC541151
    "Action Required: Check your Windows clients are up to date with security patches",  # MC799637
    "Deploy a frontline worker pilot in Teams Admin Center",  # MC1130395
    "Implementing Inbound SMTP DANE with DNSSEC for Exchange Online Mail Flow",
    "Exchange Online: Inbound SMTP DANE with DNSSEC - General Availability",
    "Modernizing DNS Security for Exchange Online Mail Flow",
    "Retirement of Exchange Web Services in Exchange Online",
    "Update to EWS Access for Kiosk / Frontline Worker Licensed Users",
    "Upcoming API Deprecations in Exchange Web Services for Exchange Online",
    "Exchange Online to introduce External Recipient Rate Limit",
    "Limiting Onmicrosoft Domain Usage for Sending Emails",
    "Introducing more control over Direct Send in Exchange Online",
    "Exchange Online Disables New Inbound Connectors",
    "Deprecation of Client Access Rules in Exchange Online",
    "Announcing OAuth 2.0 Client Credentials Flow support for POP and IMAP protocols in Exchange Online",
    "Retiring TLS 1.0 and TLS 1.1 for POP3 and IMAP4 clients",
    "Microsoft Defender for Office 365: Submission of user reported messages",
    "Microsoft Defender for Office 365: Client submission experience in Outlook",
    "Application access policies: new limits",
    "Office 365 Message Encryption: retirement of legacy templates",
    "Microsoft Entra: Retirement of Azure AD Authentication Library (ADAL)",
    "Security defaults will be enabled in your tenant",
    "Outlook: Basic authentication for shared calendars",
    "Microsoft Teams: SMTP address shown on the profile card",
    "SMTP address of groups is now shown in Outlook",
)
"""What is about other things, near as its words may be."""
KNOWN_MISSES = ("Basic Authentication \u2013 All Protocols",)  # MC290828, 2021: only its body names SMTP AUTH
"""What the rule does not find, for by its title alone it is about anything."""
