"""Type `oauth2`: any issuer that keeps to the RFCs, by client credentials or for a user who has logged in."""

from collections.abc import Collection
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from threading import Event
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from smtpcheck.model.credential import CredentialHints
from smtpcheck.model.report import TokenError
from smtpcheck.oauth.answer import TokenResponse
from smtpcheck.oauth.certificate import KeyFile
from smtpcheck.oauth.credential import IssuerName, IssuerUrl, issuer_of
from smtpcheck.oauth.flow import Flow
from smtpcheck.oauth.registration import AuthMethod, Endpoints, Registration
from smtpcheck.oauth.token_store import TokenFile
from smtpcheck.oauth.user_credential import Show, UserCredential
from smtpcheck.secrets.source import SecretSource, files_of

_OFFLINE = frozenset({"keep_alive", "lifetime", "refresh_token", "device_endpoint"})


class Grant(StrEnum):
    """How a token is asked for."""

    CLIENT_CREDENTIALS = "client_credentials"
    REFRESH_TOKEN = "refresh_token"
    DEVICE_CODE = "device_code"


def _words(value: object) -> object:
    return tuple(value.split()) if isinstance(value, str) else value


Scope = Annotated[
    tuple[Annotated[str, Field(pattern=r"^[!-~]+$")], ...],
    BeforeValidator(_words),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]


class OAuth2(UserCredential):
    """A client at any issuer that keeps to the RFCs."""

    type: Literal["oauth2"] = "oauth2"
    grant: Grant = Field(
        default=Grant.CLIENT_CREDENTIALS,
        description="client_credentials; or, for a user, device_code or refresh_token.",
    )
    issuer: IssuerUrl | None = Field(
        default=None, description="The issuer's URL; its discovery document names the endpoints."
    )
    issuer_name: IssuerName | None = Field(
        default=None, description="What the issuer calls itself, where that is not its URL: behind a proxy for TLS."
    )
    token_endpoint: IssuerUrl | None = Field(
        default=None, description="Without an issuer, or where it is on another host."
    )
    device_endpoint: IssuerUrl | None = Field(
        default=None, description="Where a device code is asked for, if the issuer does not say."
    )
    client_id: str = Field(pattern=r"^[ -~]+$", description="The client's id.")
    client_secret: SecretSource | None = Field(default=None, description="The client's secret.")
    client_key: KeyFile | None = Field(default=None, description="The key of private_key_jwt, instead of a secret.")
    key_id: str | None = Field(default=None, min_length=1, description="The key's `kid` at the issuer.")
    assertion_audience: str | None = Field(
        default=None, min_length=1, description="`aud` of private_key_jwt. Default: the token endpoint."
    )
    auth_method: AuthMethod | None = Field(
        default=None,
        description="Default: with a secret client_secret_basic or what works, with a key private_key_jwt, else none.",
    )
    configured_scope: Scope = Field(
        default=(), alias="scope", description="The scopes, as a list or separated by spaces."
    )
    audience: str | None = Field(
        default=None, min_length=1, description="Parameter `audience`, as some issuers require."
    )
    resource: str | None = Field(default=None, min_length=1, description="Parameter `resource` (RFC 8707).")
    extra: dict[str, str] = Field(default={}, description="Further parameters of each token request.")

    @property
    def scope(self) -> str:
        """The scopes that are requested."""
        return " ".join(self.configured_scope)

    @property
    def needs_login(self) -> bool:
        """Whether a user has to run `smtpcheck login`."""
        return self.grant is Grant.DEVICE_CODE and super().needs_login

    @property
    def login_issuer(self) -> str:
        """The URL of the issuer, or of its token endpoint."""
        return self.registration.url

    @property
    def registration(self) -> Registration:
        """The client as the issuer knows it."""
        chosen = AuthMethod.PRIVATE_KEY_JWT if self.client_key else AuthMethod.NONE
        chosen = AuthMethod.BASIC if self.client_secret else chosen
        named = {"audience": self.audience, "resource": self.resource}
        parameters = self.extra | {name: value for name, value in named.items() if value is not None}
        return Registration(
            client_id=self.client_id,
            auth_method=self.auth_method or chosen,
            may_change_method=self.auth_method is None,
            issuer=None if self.issuer is None else issuer_of(self.issuer),
            issuer_name=self.issuer_name,
            endpoints=Endpoints(self.token_endpoint, self.device_endpoint),
            secret=self.client_secret,
            key=self.client_key.file if self.client_key else None,
            passphrase=self.client_key.passphrase if self.client_key else None,
            key_id=self.key_id,
            assertion_audience=self.assertion_audience,
            scope=self.scope,
            parameters=tuple(sorted(parameters.items())),
            ca_file=self.ca_file,
            proxy=self.proxy,
        )

    def hints(self, name: str) -> CredentialHints:
        """Return what a remedy's text may say of the credential called `name`."""
        return CredentialHints(name=name, type=self.type, client_id=self.client_id, scope=self.scope, grant=self.grant)

    def files(self) -> tuple[Path, ...]:
        """Return the files of the secret or key, and of a refresh token from elsewhere."""
        key = self.client_key
        keys = (key.file, *files_of(key.passphrase)) if key else ()
        return (*super().files(), *files_of(self.client_secret), *keys)

    def flow(self, login: TokenFile | None = None) -> Flow:
        """Return the way to tokens; nothing is read or opened yet."""
        from smtpcheck.oauth.oauth2_flow import ClientCredentialsFlow, refresh_flow  # noqa: PLC0415 - needs requests

        if self.grant is Grant.CLIENT_CREDENTIALS:
            return ClientCredentialsFlow(self.registration)
        return refresh_flow(self.registration, self.terms, login)

    def sign_in(
        self,
        show: Show,
        cancelled: Event,
        port: int = 0,  # noqa: ARG002
        further: Collection[str] = (),
    ) -> TokenResponse | TokenError:
        """Let a user log in by a device code (RFC 8628)."""
        from smtpcheck.oauth.device_login import sign_in_by_device_code  # noqa: PLC0415 - needs requests

        scopes = dict.fromkeys((*self.configured_scope, *further))
        return sign_in_by_device_code(replace(self.registration, scope=" ".join(scopes)), show, cancelled)

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if self.issuer is None and self.token_endpoint is None:
            raise ValueError("give issuer or token_endpoint")
        if self.issuer is None and self.issuer_name is not None:
            raise ValueError("issuer_name has no effect without issuer")
        if self.client_secret is not None and self.client_key is not None:
            raise ValueError("give client_secret or client_key, one of them")
        method, secret, key = self.registration.auth_method, self.client_secret is not None, self.client_key is not None
        needed = {
            AuthMethod.BASIC: (True, False),
            AuthMethod.POST: (True, False),
            AuthMethod.PRIVATE_KEY_JWT: (False, True),
            AuthMethod.NONE: (False, False),
        }[method]
        if (secret, key) != needed:
            wanted = (
                "client_secret" if needed[0] else "client_key" if needed[1] else "neither client_secret nor client_key"
            )
            raise ValueError(f"auth_method {method} needs {wanted}")
        self._has_a_grant_that_works()
        return self

    def _has_a_grant_that_works(self) -> None:
        if self.grant is Grant.CLIENT_CREDENTIALS:
            unused = sorted(self.model_fields_set & _OFFLINE)
            if unused:
                raise ValueError(f"{unused[0]} has no effect with grant client_credentials, which has no user")
            if self.registration.auth_method is AuthMethod.NONE:
                raise ValueError("grant client_credentials needs client_secret or client_key (RFC 6749 4.4)")
        elif self.grant is Grant.REFRESH_TOKEN and self.refresh_token is None:
            raise ValueError("grant refresh_token needs refresh_token; for smtpcheck login write grant: device_code")
        elif self.grant is Grant.DEVICE_CODE and self.issuer is None and self.device_endpoint is None:
            raise ValueError("grant device_code needs issuer or device_endpoint")
