"""A whole receiver of Debian's parts: Postfix with OpenDKIM, OpenDMARC, policyd-spf and rspamd, in front of a Dovecot.

What is sent to `submission` is signed for `sender.test` by another OpenDKIM, as its sender's host would, and goes on to
the exchanger `mx.example.test` from 127.0.0.2. There policyd-spf and OpenDMARC ask the name server of the tests, in a
mount namespace of their own; where that is not allowed, they are not there. rspamd marks what is from `SPAMMER`.
"""

import os
import pwd
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.real import postfix
from tests.real.daemon import Daemon, need_root, real_binary
from tests.real.name_server import in_namespace

DOMAIN = "sender.test"
SENDER = f"anna@{DOMAIN}"
SPAMMER = f"spam@{DOMAIN}"
AUTHSERV_ID = "mx.example.test"
CLIENT = "127.0.0.2"
"""From where the exchanger is connected to."""
RECORDS = {DOMAIN: f"v=spf1 ip4:{CLIENT} -all", f"_dmarc.{DOMAIN}": "v=DMARC1; p=reject"}
SIEVE = """
require ["fileinto"];
if header :contains "X-Spam" "Yes" {
  fileinto "Quarantine";
} elsif header :contains "Subject" "by a rule" {
  fileinto "Archive";
}
"""


@dataclass(frozen=True)
class ReceiverPorts:
    """Where its parts listen."""

    submission: int
    exchanger: int
    signer: int
    verifier: int
    dmarc: int
    rspamd: int


def _text(pem: str) -> str:
    return "".join(line for line in pem.splitlines() if not line.startswith("-----"))


class OpenDkim(Daemon):
    """An OpenDKIM that signs for the sender, or one that verifies for the receiver."""

    def __init__(self, folder: Path, port: int, *, signs: bool) -> None:
        """Use the key in `folder`, which both share; its public half is in a file in place of the DNS."""
        key = folder / "dkim.pem"
        if not key.exists():
            openssl = real_binary("openssl")
            subprocess.run([openssl, "genrsa", "-out", key, "2048"], check=True, capture_output=True)
            public = subprocess.run([openssl, "rsa", "-in", key, "-pubout"], check=True, capture_output=True, text=True)
            record = f"s1._domainkey.{DOMAIN} v=DKIM1; k=rsa; p={_text(public.stdout)}\n"
            (folder / "public_keys").write_text(record)
        name = "signer" if signs else "verifier"
        own = [f"KeyFile {key}", f"Domain {DOMAIN}", "Selector s1", "InternalHosts 0.0.0.0/0"]
        lines = [
            *(f"Mode {'s' if signs else 'v'}", f"Socket inet:{port}@127.0.0.1", f"AuthservID {AUTHSERV_ID}"),
            *("Syslog no", "RequireSafeKeys no", "AlwaysAddARHeader yes", f"TestPublicKeys {folder / 'public_keys'}"),
            *(own if signs else ["Nameservers 127.0.0.1"]),
        ]
        config = folder / f"{name}.conf"
        config.write_text("\n".join(lines) + "\n")
        command: list[str | Path] = [real_binary("opendkim"), "-f", "-x", config]
        super().__init__(command, log=folder / f"{name}.log", ports=[port])


class OpenDmarc(Daemon):
    """OpenDMARC, which asks the name server that `resolv_conf` names."""

    def __init__(self, folder: Path, port: int, resolv_conf: Path) -> None:
        config = folder / "opendmarc.conf"
        lines = [
            *(f"AuthservID {AUTHSERV_ID}", f"TrustedAuthservIDs {AUTHSERV_ID}", f"Socket inet:{port}@127.0.0.1"),
            *("Syslog no", "RejectFailures no", "IgnoreHosts /dev/null"),
        ]
        config.write_text("\n".join(lines) + "\n")
        command = in_namespace([real_binary("opendmarc"), "-f", "-c", config], resolv_conf)
        super().__init__(command, log=folder / "opendmarc.log", ports=[port])


_RSPAMD = """
options {{
  filters = "";
  dns {{ nameserver = ["127.0.0.1:{closed}"]; timeout = 0.1s; retransmits = 1; }}
  url_tld = "{folder}/tld"; tempdir = "{folder}"; cache_file = "{folder}/cache"; pidfile = "{folder}/pid";
  control_socket = "{folder}/control mode=0600"; rrd = "{folder}/rrd"; stats_file = "{folder}/stats";
  hs_cache_dir = "{folder}"; history_file = "{folder}/history";
}}
logging {{ type = "file"; filename = "{folder}/rspamd.log"; level = "info"; }}
actions {{ reject = 15; add_header = 6; }}
worker "rspamd_proxy" {{
  bind_socket = "127.0.0.1:{port}"; milter = yes; count = 1; timeout = 10s; spam_header = "X-Spam";
  upstream "local" {{ default = yes; self_scan = yes; }}
}}
modules {{ path = "/usr/share/rspamd/plugins/multimap.lua"; path = "/usr/share/rspamd/plugins/milter_headers.lua"; }}
lua = "/usr/share/rspamd/rules/rspamd.lua";
multimap {{ SENDS_SPAM {{ type = "from"; map = ["{spammer}"]; score = 8.0; }} }}
milter_headers {{ use = ["x-spamd-result"]; skip_local = false; }}
"""


class Rspamd(Daemon):
    """rspamd with one rule of its own, and no use for the network."""

    def __init__(self, folder: Path, port: int, closed_port: int) -> None:
        (folder / "tld").write_text("test\n")
        config = folder / "rspamd.conf"
        config.write_text(_RSPAMD.format(folder=folder, port=port, closed=closed_port, spammer=SPAMMER))
        user = pwd.getpwuid(os.geteuid()).pw_name
        command: list[str | Path] = [real_binary("rspamd"), "-f", "-i", "-u", user, "-g", user, "-c", config]
        super().__init__(command, log=folder / "rspamd.log", ports=[port])


_MAIN_CF = (
    postfix.MAIN_CF
    + """
myhostname = out.sender.test
mynetworks = 127.0.0.0/8
relay_domains = example.test
relay_transport = $default_transport
default_transport = lmtp:inet:127.0.0.1:{lmtp}
lmtp_dns_support_level = disabled
smtp_dns_support_level = disabled
smtp_bind_address = 127.0.0.2
smtpd_relay_restrictions = permit_mynetworks, reject
policyd-spf_time_limit = 3600
"""
)

_MASTER_CF = (
    """
127.0.0.1:{ports.submission} inet n - n - - smtpd
  -o content_filter=smtp:[127.0.0.1]:{ports.exchanger} -o smtpd_milters=inet:127.0.0.1:{ports.signer}
127.0.0.1:{ports.exchanger} inet n - n - - smtpd
  -o myhostname=mx.example.test -o smtpd_milters={milters}
  -o smtpd_recipient_restrictions={policy}permit_mynetworks,reject
policyd-spf unix - n n - 0 spawn user=nobody argv={policyd} {folder}/policyd-spf.conf
"""
    + postfix.MASTER_CF
)

_POLICYD_CONF = f"""
debugLevel = 1
HELO_reject = False
Mail_From_reject = False
Header_Type = AR
Authserv_Id = {AUTHSERV_ID}
skip_addresses = 192.0.2.1/32
"""


class Exchanger(Daemon):
    """The Postfix of both ends."""

    def __init__(self, folder: Path, ports: ReceiverPorts, lmtp: int, resolv_conf: Path | None) -> None:
        """Deliver by LMTP; without a `resolv_conf` neither policyd-spf nor OpenDMARC is asked."""
        self._postfix = [real_binary("postfix"), "-c", str(folder / "config")]
        need_root("postfix")
        owner = pwd.getpwnam("postfix")
        for name, uid in (("config", 0), ("queue", 0), ("data", owner.pw_uid)):
            (folder / name).mkdir()
            os.chown(folder / name, uid, 0)
        (folder / "policyd-spf.conf").write_text(_POLICYD_CONF)
        milters = [ports.verifier, *([ports.dmarc] if resolv_conf else []), ports.rspamd]
        (folder / "config" / "main.cf").write_text(_MAIN_CF.format(folder=folder, lmtp=lmtp))
        (folder / "config" / "master.cf").write_text(
            _MASTER_CF.format(
                folder=folder,
                ports=ports,
                milters=",".join(f"inet:127.0.0.1:{port}" for port in milters),
                policy="check_policy_service,unix:private/policyd-spf," if resolv_conf else "",
                policyd=real_binary("policyd-spf"),
            )
        )
        command: Sequence[str | Path] = [*self._postfix, "start-fg"]
        super().__init__(
            in_namespace(command, resolv_conf) if resolv_conf else command,
            log=folder / "postfix.log",
            ports=[ports.submission, ports.exchanger],
        )

    def stop(self) -> None:
        """End Postfix by its own command: its master leaves the process group that it was started in."""
        subprocess.run([*self._postfix, "abort"], check=False, capture_output=True)
        super().stop()
