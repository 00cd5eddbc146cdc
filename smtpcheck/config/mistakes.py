"""What people write that is not what the configuration calls it, and what they meant.

Rules of this file:
- Data first: a further mistake is a row. Models are called by their names here, for they are made of what is below.
- No hint repeats a value that may be a secret: of what is written in place of a secret's source only what is surely a
  path or a variable.
"""

import re
from collections.abc import Collection, Mapping

from pydantic import BaseModel

from smtpcheck.secrets.source import VARIABLE, SecretSource

SOURCES = "write {file: PATH}, {env: NAME}, {command: [PROGRAM, ...]} or {value: TEXT}"

_SECURITY = "security: starttls, or security: implicit where TLS starts at once (port 465)"
_VERIFIED = "certificates are always verified: name the authority of your own by ca_file"
_NO_PASSWORD = (
    "a check has no password: write credentials: {NAME: {type: password, password: {file: PATH}}}, and here "
    "credential: NAME"
)
_NO_APPLICATION = "it belongs to a credential: write credentials: {NAME: {type: microsoft, ...}}, here credential: NAME"
_NO_TOKEN = (
    "a token is a credential: write credentials: {NAME: {type: token, from: {file: PATH}}}, and here credential: NAME"
)
_NOT_SCHEDULED = "write schedule: false, and it runs only when /probe or a user requests it; or remove the check"


def _each(words: str, meant: str) -> dict[str, str]:
    return dict.fromkeys(words.split(), meant)


_KEYS: Mapping[str, Mapping[str, str]] = {
    "CheckSection": {
        **_each("user username user_name email e_mail mail address account login upn", "mailbox"),
        **_each("password passwd pass", _NO_PASSWORD),
        **_each("client_id client_secret client_certificate tenant tenant_id scope", _NO_APPLICATION),
        **_each("token access_token bearer token_file", _NO_TOKEN),
        **_each("credentials auth authentication", "credential"),
        **_each(
            "tls ssl starttls smtps use_tls use_ssl use_starttls encryption", f"write server: {{...}} with {_SECURITY}"
        ),
        **_each("from mail_from from_address envelope_from", "sender"),
        **_each("to rcpt rcpt_to recipients", "recipient"),
        **_each("every period frequency", "interval"),
        **_each("tags", "labels"),
        **_each("enabled disabled active", _NOT_SCHEDULED),
        **_each("hostname smtp_host smtp_server target url", "write server: {host: ...}"),
        **_each("id", "name"),
    },
    "ServerSection": {
        **_each("tls ssl starttls smtps use_tls use_ssl use_starttls encryption tls_mode", f"write {_SECURITY}"),
        **_each("name hostname address server fqdn smtp_host", "host"),
        **_each("verify verify_ssl tls_verify insecure skip_verify insecure_skip_verify tls_skip_verify", _VERIFIED),
        **_each("ca cafile ca_cert ca_bundle", "ca_file"),
        **_each("sni", "server_name"),
        **_each("helo", "ehlo"),
    },
    "Credential": {
        **_each("tenant_id tenantid directory_id", "tenant"),
        **_each("application_id applicationid app_id appid clientid", "client_id"),
        **_each("secret clientsecret app_secret client_password", "client_secret"),
        **_each("certificate cert client_cert", "client_certificate"),
        **_each("token", "from"),
        **_each("username user_name login", "user"),
        **_each("scopes", "scope"),
        **_each("issuer_url", "issuer"),
        **_each("token_url token_uri", "token_endpoint"),
    },
    "SecretSource": {
        **_each("path filename secret_file", "file"),
        **_each("variable var environment env_var", "env"),
        **_each("cmd exec shell run", "command"),
        **_each("text literal plain secret", "value"),
        **_each(
            "keyvault key_vault azure_keyvault azure_key_vault akv",
            "write {command: [az, keyvault, secret, show, --vault-name, VAULT, --name, NAME, --query, value, -o, tsv]}",
        ),
        **_each(
            "vault hashicorp_vault hashicorp openbao", "write {command: [vault, kv, get, -field=FIELD, MOUNT/PATH]}"
        ),
        **_each(
            "aws_secret aws_secrets_manager aws_secretsmanager secretsmanager secrets_manager asm",
            "write {command: [aws, secretsmanager, get-secret-value, --secret-id, NAME, --query, SecretString, "
            "--output, text]}",
        ),
        **_each(
            "gcp_secret gcp_secret_manager google_secret secret_manager secretmanager gsm",
            "write {command: [gcloud, secrets, versions, access, latest, --secret, NAME]}",
        ),
        **_each("op onepassword 1password", 'write {command: [op, read, "op://VAULT/ITEM/FIELD"]}'),
        **_each("pass gopass password_store", "write {command: [pass, show, NAME]}"),
        **_each(
            "secretkeyref secret_key_ref valuefrom kubernetes k8s k8s_secret",
            "mount the Secret and write {file: PATH}, or have it in a variable and write {env: NAME}",
        ),
    },
}
"""By model: a key that it does not have, and the key that is meant or, with a space in it, what to write."""

_MAIN_KEYS = {
    "ServerSection": "host",
    "ImapServerSection": "host",
    "ViaSection": "api",
    "ExpectSection": "phase",
    "FindSection": "via",
    "LoopbackSection": "to",
    "WarnSection": "certificate",
    "OtlpSection": "endpoint",
    "HeartbeatSection": "url",
    "Inspect": "by",
    "KeyFile": "file",
}
"""By model, the key of which a text in place of the mapping is probably the value."""

_APPLICATION_OR_USER = {
    "google": "write google-service-account, or google-user for one mailbox after smtpcheck login",
    "microsoft": "write microsoft, or microsoft-user for one mailbox after smtpcheck login",
}
_TYPES = {
    **_each("google workspace gsuite google-workspace gcp", _APPLICATION_OR_USER["google"]),
    **_each("gmail", "write google-user, or google-service-account for the mailboxes of a Workspace"),
    **_each(
        "azure entra entra-id azuread azure-ad aad office365 office-365 o365 m365 microsoft365 exchange "
        "exchange-online msal graph client-credentials client_credentials",
        _APPLICATION_OR_USER["microsoft"],
    ),
    **_each("outlook hotmail live", "write microsoft-user, or microsoft for the mailboxes of an organisation"),
    **_each("msi managed-identity azure-managed-identity", "write microsoft-managed-identity"),
    **_each("oauth oidc openid keycloak okta", "write oauth2"),
    **_each("basic plain login smtp", "write password"),
    **_each("bearer jwt access_token access-token", "write token"),
    **_each("apikey api_key key", "write api-key"),
    **_each("ses amazon", "write aws"),
}

_SURELY_A_PATH = re.compile(r"/(?:etc|home|mnt|opt|root|run|secrets|srv|usr|var|vault)(?:/[\w.@+-]+)+")
_SURELY_A_KEY_FILE = re.compile(r"[\w./@+-]{1,200}\.(?:pem|pfx|p12|key|crt|cer)")
_PLAIN = re.compile(r"[\w.@/*+-]{1,60}")
_HOST_AND_PORT = re.compile(r"([\w.-]{1,60}):([0-9]{1,5})")


def key_hint(model: type[BaseModel], key: str, keys: Collection[str]) -> str:
    """Return what is meant by a key that a model with these keys does not have; empty where that is not known."""
    found = _row(model, key)
    if " " in found:
        return found
    return f"write {found}" if found in keys else ""


def meant_by(model: type[BaseModel], key: str, keys: Collection[str]) -> str:
    """Return the key that is meant, empty where none is or that is not known."""
    found = _row(model, key)
    return found if found in keys else ""


def _row(model: type[BaseModel], key: str) -> str:
    written = key.lower().replace("-", "_")
    return next((row for base in model.__mro__ if (row := _KEYS.get(base.__name__, {}).get(written))), "")


def type_hint(word: str) -> str:
    """Return which types of credential are meant by a word, empty where that is not known."""
    return _TYPES.get(word.strip().lower(), "")


def text_hint(model: type[BaseModel] | None, key: str | int, text: str, *, shows: bool) -> str:
    """Return how to write a text that is in place of a mapping; empty where that is not known.

    The text is repeated where the place `shows` values, or where it is no secret by its form.
    """
    if model is None:
        return ""
    before = f"{key}: " if isinstance(key, str) and key else ""
    if issubclass(model, SecretSource):
        return _source_hint(before, text)
    main = _MAIN_KEYS.get(model.__name__, "")
    if not main:
        return ""
    if main == "host" and shows and (parts := _HOST_AND_PORT.fullmatch(text)):
        return f"write {before}{{host: {parts[1]}, port: {parts[2]}}}"
    shown = (
        text if (shows and _PLAIN.fullmatch(text)) or (main == "file" and _SURELY_A_KEY_FILE.fullmatch(text)) else "..."
    )
    further = ", find: {via: imap}" if main == "to" else ""
    return f"write {before}{{{main}: {shown}{further}}}"


def _source_hint(before: str, text: str) -> str:
    if VARIABLE.fullmatch(text):
        return f"write {before}{{env: {text.strip('${}').partition(':')[0]}}}"
    return f"write {before}{{file: {text}}}" if _SURELY_A_PATH.fullmatch(text) else SOURCES
