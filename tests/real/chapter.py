"""Dovecot and Postfix as the chapter on one's own identity provider configures them: its files, as they stand there.

Rule of this file: what a site has besides (ports, certificates, users, delivery) is here; nothing of OAuth2 is. Names
that exist in no test are replaced: the issuer, folders, ports, the secret.
"""

import os
import pwd
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.docs.documents import read
from tests.real import postfix
from tests.real.daemon import Daemon, free_port, need_root, real_binary
from tests.real.mail import Certificates
from tests.real.openid import OpenIDProvider

NAME = "docs/own-identity-provider.md"
ISSUER = "https://id.example.org/realms/mail"
INTROSPECTION = f"{ISSUER.replace('https://', 'https://dovecot:SECRET@')}/protocol/openid-connect/token/introspect"
MAIN_CF, MASTER_CF = "/etc/postfix/main.cf", "/etc/postfix/master.cf"

_DOVECOT = r"""
protocols = imap lmtp
listen = 127.0.0.1
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/dovecot.log
auth_verbose = yes
auth_failure_delay = 0
ssl = required
ssl_cert = <{certificates.chain}
ssl_key = <{certificates.key}
mail_location = maildir:~/Maildir
first_valid_uid = 1
namespace inbox {{
  inbox = yes
}}
userdb {{
  driver = static
  args = uid=dovecot gid=dovecot home={folder}/mail/%u allow_all_users=yes
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = 0
  }}
  inet_listener imaps {{
    port = {imaps}
  }}
}}
service lmtp {{
  inet_listener lmtp {{
    port = {lmtp}
  }}
}}
service anvil {{
  chroot =
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
"""
_MAIN_CF = (
    postfix.MAIN_CF
    + """
myhostname = mail.example.org
relay_domains = example.test
relay_transport = lmtp:inet:127.0.0.1:{lmtp}
lmtp_dns_support_level = disabled
smtpd_tls_cert_file = {certificates.chain}
smtpd_tls_key_file = {certificates.key}
"""
)


def files() -> dict[str, list[str]]:
    """Return the files of the chapter by the path in their first line, each as often as it is there."""
    found: dict[str, list[str]] = {}
    for block in read(NAME).blocks:
        if head := re.match(r"# ((?:/[\w.-]+)+|[\w]+\.py)", block.text):
            found.setdefault(head[1], []).append(block.text)
    return found


@dataclass(frozen=True)
class Place:
    """Where the servers of a test are in place of those of the chapter."""

    folder: Path
    certificates: Certificates
    openid: OpenIDProvider
    imaps: int
    lmtp: int
    submission: int

    def here(self, text: str) -> str:
        """Return a text of the chapter with the names of this place."""
        introspection = self.openid.issuer.replace("https://", f"https://dovecot:{self.openid.secret}@")
        names = {
            INTROSPECTION: f"{introspection}/token/introspection",
            ISSUER: self.openid.issuer,
            "/etc/ssl/certs/ca-certificates.crt": str(self.certificates.ca),
            "/etc/dovecot/": f"{self.folder}/",
            "/etc/postfix/": f"{self.folder}/config/",
            "/var/spool/postfix/": f"{self.folder}/queue/",
            "\nsubmission inet": f"\n127.0.0.1:{self.submission} inet",
        }
        for name, mine in names.items():
            text = text.replace(name, mine)
        return text

    def base(self, text: str) -> str:
        """Return a file of the site without OAuth2."""
        return text.format(folder=self.folder, certificates=self.certificates, imaps=self.imaps, lmtp=self.lmtp)


def place(folder: Path, certificates: Certificates, openid: OpenIDProvider) -> Place:
    """Return a place with free ports."""
    return Place(folder, certificates, openid, free_port(), free_port(), free_port())


class ChapterDovecot(Daemon):
    """A Dovecot with the chapter's file for the passdb and one of its two ways to verify tokens."""

    def __init__(self, place: Place, oauth2: str) -> None:
        binary = real_binary("dovecot")
        need_root("dovecot")
        for name in ("mail", "queue/private"):
            (place.folder / name).mkdir(parents=True)
        (place.folder / "mail").chmod(0o777)
        os.chown(place.folder / "queue" / "private", pwd.getpwnam("postfix").pw_uid, 0)
        (place.folder / "queue" / "private").chmod(0o700)
        (own,) = files()["/etc/dovecot/conf.d/99-oauth2.conf"]
        (place.folder / "dovecot.conf").write_text(place.base(_DOVECOT) + place.here(own))
        (place.folder / "dovecot-oauth2.conf.ext").write_text(place.here(oauth2))
        super().__init__(
            [binary, "-F", "-c", place.folder / "dovecot.conf"],
            log=place.folder / "dovecot.log",
            ports=[place.imaps, place.lmtp],
        )


class ChapterPostfix(Daemon):
    """A Postfix with the chapter's files, in front of a Dovecot of the same place."""

    def __init__(self, place: Place) -> None:
        config = place.folder / "config"
        self._postfix = [real_binary("postfix"), "-c", str(config)]
        need_root("postfix")
        config.mkdir()
        (place.folder / "data").mkdir()
        os.chown(place.folder / "data", pwd.getpwnam("postfix").pw_uid, 0)
        base = {MAIN_CF: place.base(_MAIN_CF), MASTER_CF: postfix.MASTER_CF}
        for name, text in _of_postfix(files()).items():
            (config / Path(name).name).write_text(base.get(name, "") + place.here(text))
        super().__init__([*self._postfix, "start-fg"], log=place.folder / "postfix.log", ports=[place.submission])

    def stop(self) -> None:
        """End Postfix by its own command: its master leaves the process group that it was started in."""
        subprocess.run([*self._postfix, "abort"], check=False, capture_output=True)
        super().stop()


def _of_postfix(named: Mapping[str, Sequence[str]]) -> dict[str, str]:
    return {name: text for name, (text, *_) in named.items() if name.startswith("/etc/postfix/")}
