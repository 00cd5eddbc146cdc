"""What to write for a place that has no type of its own.

Rules of this file:
- Pure. Every address here is one that Apprise knows: a test asks it.
- The keys in these addresses are placeholders; the hint puts the address into a variable, for it is a secret.
"""

INCIDENT_TOOLS = frozenset({"opsgenie", "pagerduty"})
"""Schemes of Apprise for places that have a type of their own here, one that resolves what it raised."""

ADDRESSES = {
    "discord": "discord://WEBHOOK_ID/WEBHOOK_TOKEN/",
    "email": "mailtos://USER:PASSWORD@HOST:587?smtp=HOST&from=USER@HOST&to=ONCALL@EXAMPLE.ORG",
    "gotify": "gotifys://HOST/TOKEN",
    "matrix": "matrixs://USER:PASSWORD@HOST/ROOM",
    "mattermost": "mmosts://HOST/TOKEN",
    "ntfy": "ntfys://TOPIC",
    "pushover": "pover://USER_KEY@APP_TOKEN",
    "slack": "slack://TOKEN_A/TOKEN_B/TOKEN_C/#CHANNEL",
    "teams": "workflows://HOST:443/WORKFLOW/SIGNATURE/",
    "telegram": "tgram://BOT_TOKEN/CHAT_ID",
}
"""By the word that people write as type, the form of the address of Apprise. E-mail goes through another provider than
the one that is checked."""

_ALIASES = {
    "e-mail": "email",
    "mail": "email",
    "smtp": "email",
    "mailto": "email",
    "msteams": "teams",
    "ms-teams": "teams",
    "microsoft-teams": "teams",
    "workflows": "teams",
    "pager-duty": "pagerduty",
    "jira": "opsgenie",
    "jsm": "opsgenie",
}
_NATIVE = {
    "opsgenie": "write {type: jira-service-management, api_key: {file: ...}}: Opsgenie's API ends in April 2027",
    "pagerduty": "write {type: pagerduty, routing_key: {file: ...}}",
    "prometheus": "write {type: alertmanager, urls: [http://HOST:9093]}",
}


def recipe_of(word: str) -> str:
    """Return what to write for a place that somebody named as a type; empty where none is known."""
    name = _ALIASES.get(word.strip().lower(), word.strip().lower())
    if name in _NATIVE:
        return _NATIVE[name]
    if name not in ADDRESSES:
        return ""
    variable = f"{name.upper()}_URL"
    return f"write {{type: apprise, url: {{env: {variable}}}}} with {variable}={ADDRESSES[name]}"
