"""Debian's Dovecot and Postfix, set up to verify OAuth2 tokens by themselves and to deliver to each other.

Both take Anna's password too. Postfix's strict port judges senders, and relays to nobody without a login.

Dovecot listens for submission (STARTTLS and implicit TLS), IMAP and LMTP; what is submitted there goes on by Postfix's
relay port.
Postfix asks Dovecot about logins and hands every message to Dovecot's LMTP, which delivers mail for anna+Archive@ to
the folder Archive. The folders for junk and for sent mail have names that tell nothing of their purpose.

Mail for refusing.test goes on to a second Postfix, which has one recipient and refuses mail for that one by its policy.
Mail for silent.test goes where nothing listens, and is returned after seconds.
"""

import os
import pwd
import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path

from smtpcheck.model.check import Security, Server
from tests.real import postfix
from tests.real.daemon import Daemon, need_root, real_binary
from tests.real.tokens import AUDIENCE, ISSUER, SCOPE

PASSWORD = "correct horse, bättery"
"""That of anna@example.test."""


@dataclass(frozen=True)
class Certificates:
    """What the servers show, and what clients trust."""

    ca: Path
    chain: Path
    key: Path

    def client_context(self) -> ssl.SSLContext:
        """Return a context that trusts the servers."""
        return ssl.create_default_context(cafile=str(self.ca))

    def server(self, port: int, security: Security) -> Server:
        """Return the server as a check names it."""
        return Server(
            host="127.0.0.1",
            port=port,
            security=security,
            server_name="localhost",
            ehlo="client.test",
            ca_file=str(self.ca),
        )


@dataclass(frozen=True)
class DovecotPorts:
    """Where one Dovecot listens."""

    submission: int
    submissions: int
    imaps: int
    lmtp: int


_DOVECOT = r"""
protocols = submission imap lmtp
listen = 127.0.0.1
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/dovecot.log
auth_verbose = yes
instance_name = {folder}
hostname = localhost
default_internal_user = {internal_user}
default_internal_group = {internal_group}
default_login_user = {login_user}
first_valid_uid = 1
ssl = required
ssl_cert = <{certificates.chain}
ssl_key = <{certificates.key}
auth_mechanisms = xoauth2 oauthbearer plain login
auth_failure_delay = {failure_delay} secs
mail_location = maildir:~/Maildir
recipient_delimiter = +
lmtp_save_to_detail_mailbox = yes
namespace inbox {{
  inbox = yes
  mailbox Quarantine {{
    special_use = \Junk
    auto = create
  }}
  mailbox Outgoing {{
    special_use = \Sent
    auto = create
  }}
  mailbox Archive {{
    auto = create
  }}
}}
submission_relay_host = 127.0.0.1
submission_relay_port = {relay_port}
submission_relay_ssl = no
passdb {{
  driver = oauth2
  mechanisms = xoauth2 oauthbearer
  args = {folder}/oauth2.conf
}}
passdb {{
  driver = passwd-file
  mechanisms = plain login
  args = {folder}/passwords
}}
userdb {{
  driver = static
  args = uid={internal_user} gid={internal_group} home={folder}/mail/%u allow_all_users=yes
}}
service submission-login {{
  chroot =
  inet_listener submission {{
    port = {ports.submission}
  }}
  inet_listener submissions {{
    port = {ports.submissions}
    ssl = yes
  }}
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = 0
  }}
  inet_listener imaps {{
    port = {ports.imaps}
  }}
}}
service lmtp {{
  inet_listener lmtp {{
    port = {ports.lmtp}
  }}
}}
service anvil {{
  chroot =
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service auth {{
  unix_listener auth-postfix {{
    mode = 0666
  }}
}}
"""

_SIEVE = """
protocol lmtp {{
  mail_plugins = $mail_plugins sieve
}}
plugin {{
  sieve_before = {script}
}}
"""

_OAUTH2 = """
introspection_mode = local
local_validation_key_dict = fs:posix:prefix={folder}/keys/
username_attribute = email
issuers = {issuers}
client_id = {audience}
scope = {scope}
openid_configuration_url = {issuer}/.well-known/openid-configuration
"""


class Dovecot(Daemon):
    """A running Dovecot."""

    def __init__(
        self,
        folder: Path,
        certificates: Certificates,
        ports: DovecotPorts,
        *,
        relay_port: int,
        failure_delay: int = 0,
        issuer: str = ISSUER,
        sieve: str = "",
    ) -> None:
        """Run it in the folder; it takes tokens of `issuer` that the keys below `keys` verify.

        A script of Sieve files what comes by LMTP.
        """
        binary = real_binary("dovecot")
        me = pwd.getpwuid(os.geteuid()).pw_name
        root = os.geteuid() == 0
        self.ports = ports
        self.keys = folder / "keys"
        self.mail = folder / "mail"
        self.auth_socket = folder / "run" / "auth-postfix"
        self.keys.mkdir()
        self.mail.mkdir()
        self.mail.chmod(0o777)
        (folder / "oauth2.conf").write_text(
            _OAUTH2.format(folder=folder, issuers=issuer, issuer=issuer, audience=AUDIENCE, scope=SCOPE)
        )
        (folder / "passwords").write_text("anna@example.test:{PLAIN}" + PASSWORD + "\n")
        config = folder / "dovecot.conf"
        config.write_text(
            _DOVECOT.format(
                folder=folder,
                certificates=certificates,
                ports=ports,
                relay_port=relay_port,
                failure_delay=failure_delay,
                internal_user="dovecot" if root else me,
                internal_group="dovecot" if root else me,
                login_user="dovenull" if root else me,
            )
        )
        if sieve:
            (folder / "before.sieve").write_text(sieve)
            config.write_text(config.read_text() + _SIEVE.format(script=folder / "before.sieve"))
        super().__init__(
            [binary, "-F", "-c", config],
            log=folder / "dovecot.log",
            ports=[ports.submission, ports.submissions, ports.imaps, ports.lmtp],
        )


@dataclass(frozen=True)
class PostfixPorts:
    """Where Postfix listens. The relay port takes mail from loopback without a login."""

    submission: int
    submissions: int
    relay: int
    strict: int
    refusing: int
    """Of the second Postfix."""
    silent: int
    """Where nothing listens."""


_MAIN_CF = (
    postfix.MAIN_CF
    + """
myhostname = mail.example.test
mynetworks = 127.0.0.0/8
relay_domains = example.test
transport_maps = texthash:{folder}/transport
queue_run_delay = 1s
minimal_backoff_time = 1s
maximal_backoff_time = 1s
delay_warning_time = 1s
maximal_queue_lifetime = 8s
relay_transport = $default_transport
default_transport = lmtp:inet:127.0.0.1:{dovecot.ports.lmtp}
lmtp_dns_support_level = disabled
smtpd_tls_security_level = may
smtpd_tls_auth_only = yes
smtpd_tls_cert_file = {certificates.chain}
smtpd_tls_key_file = {certificates.key}
smtpd_sasl_type = dovecot
smtpd_sasl_path = {dovecot.auth_socket}
smtpd_sasl_auth_enable = yes
smtpd_relay_restrictions = permit_sasl_authenticated, reject
"""
)

_MASTER_CF = (
    """
127.0.0.1:{ports.submission} inet n - n - - smtpd
127.0.0.1:{ports.submissions} inet n - n - - smtpd -o smtpd_tls_wrappermode=yes
127.0.0.1:{ports.strict} inet n - n - - smtpd
  -o smtpd_relay_restrictions=permit_sasl_authenticated,reject_unauth_destination
  -o smtpd_sender_restrictions=reject_sender_login_mismatch
  -o smtpd_sender_login_maps=texthash:{folder}/senders
127.0.0.1:{ports.relay} inet n - n - - smtpd
  -o smtpd_sasl_auth_enable=no -o smtpd_relay_restrictions=permit_mynetworks,reject
"""
    + postfix.MASTER_CF
)


_REFUSING_MAIN_CF = (
    postfix.MAIN_CF
    + """
myhostname = mx.refusing.test
relay_domains = refusing.test
relay_recipient_maps = texthash:{folder}/recipients
smtpd_relay_restrictions = reject_unauth_destination
smtpd_recipient_restrictions = check_recipient_access texthash:{folder}/access
"""
)

_REFUSING_MASTER_CF = (
    """
127.0.0.1:{port} inet n - n - - smtpd
"""
    + postfix.MASTER_CF
)
DMARC = "550 5.7.26 Unauthenticated email from example.test is not accepted due to domain's DMARC policy"


def _postfix_folders(folder: Path) -> None:
    owner = pwd.getpwnam("postfix")
    for name, uid in (("config", 0), ("queue", 0), ("data", owner.pw_uid)):
        (folder / name).mkdir()
        os.chown(folder / name, uid, 0)


class RefusingPostfix(Daemon):
    """A running Postfix that takes no mail: it knows one recipient, and mail to that one fails its policy."""

    def __init__(self, folder: Path, port: int) -> None:
        self._postfix = [real_binary("postfix"), "-c", str(folder / "config")]
        need_root("postfix")
        _postfix_folders(folder)
        (folder / "config" / "main.cf").write_text(_REFUSING_MAIN_CF.format(folder=folder))
        (folder / "config" / "master.cf").write_text(_REFUSING_MASTER_CF.format(port=port))
        (folder / "recipients").write_text("dmarc@refusing.test x\n")
        (folder / "access").write_text(f"dmarc@refusing.test {DMARC}\n")
        super().__init__([*self._postfix, "start-fg"], log=folder / "postfix.log", ports=[port])

    def stop(self) -> None:
        """End Postfix by its own command."""
        subprocess.run([*self._postfix, "abort"], check=False, capture_output=True)
        super().stop()


class Postfix(Daemon):
    """A running Postfix, asking a Dovecot about logins and delivering to it."""

    def __init__(self, folder: Path, certificates: Certificates, ports: PostfixPorts, dovecot: Dovecot) -> None:
        self._postfix = [real_binary("postfix"), "-c", str(folder / "config")]
        need_root("postfix")
        self.ports = ports
        _postfix_folders(folder)
        routes = {"refusing.test": ports.refusing, "silent.test": ports.silent}
        (folder / "transport").write_text("".join(f"{name} smtp:[127.0.0.1]:{port}\n" for name, port in routes.items()))
        (folder / "config" / "main.cf").write_text(
            _MAIN_CF.format(folder=folder, certificates=certificates, dovecot=dovecot)
        )
        (folder / "config" / "master.cf").write_text(_MASTER_CF.format(folder=folder, ports=ports))
        (folder / "senders").write_text("anna@example.test anna@example.test\nboard@example.test chair@example.test\n")
        super().__init__(
            [*self._postfix, "start-fg"],
            log=folder / "postfix.log",
            ports=[ports.submission, ports.submissions, ports.relay, ports.strict],
        )

    def stop(self) -> None:
        """End Postfix by its own command: its master leaves the process group that it was started in."""
        subprocess.run([*self._postfix, "abort"], check=False, capture_output=True)
        super().stop()
