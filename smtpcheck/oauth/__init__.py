"""Ways to a token, one file with its `Credential` and its flow for each, and the broker that hands tokens out.

Where secrets come from is in `secrets/`, how HTTP is spoken in `http_client/`. A new way joins `CREDENTIAL_TYPES`.
"""

from smtpcheck.oauth.api_key import ApiKey
from smtpcheck.oauth.aws import Aws
from smtpcheck.oauth.credential import Credential
from smtpcheck.oauth.google_service_account import GoogleServiceAccount
from smtpcheck.oauth.google_user import GoogleUser
from smtpcheck.oauth.managed_identity import ManagedIdentity
from smtpcheck.oauth.microsoft import Microsoft
from smtpcheck.oauth.microsoft_user import MicrosoftUser
from smtpcheck.oauth.oauth2 import OAuth2
from smtpcheck.oauth.password import Password
from smtpcheck.oauth.static_token import StaticToken

CREDENTIAL_TYPES: tuple[type[Credential], ...] = (
    Microsoft,
    MicrosoftUser,
    ManagedIdentity,
    GoogleServiceAccount,
    GoogleUser,
    OAuth2,
    StaticToken,
    Password,
    ApiKey,
    Aws,
)
