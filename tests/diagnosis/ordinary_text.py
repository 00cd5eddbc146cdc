"""Ordinary text, line by line: documentation, prose, and generated logs of programs that do not send mail.

Rules of this file:
- It needs nothing but Python's standard library; chance is seeded.
- Words that failures use too (timeout, expired, denied, rate limit, certificate) are chosen on purpose.
"""

import importlib
import inspect
import itertools
import random
from collections.abc import Iterator

MODULES = (
    *("argparse", "ast", "asyncio", "base64", "bisect", "calendar", "cmd", "codecs", "collections"),
    *("configparser", "contextlib", "copy", "csv", "dataclasses", "datetime", "decimal", "difflib"),
    *("dis", "doctest", "enum", "fileinput", "fnmatch", "fractions", "ftplib", "functools", "getpass"),
    *("gettext", "glob", "gzip", "hashlib", "heapq", "hmac", "html.parser", "http.client"),
    *("http.cookiejar", "http.server", "inspect", "io", "ipaddress", "itertools", "json", "locale"),
    *("logging", "logging.handlers", "lzma", "mailbox", "math", "mimetypes", "multiprocessing", "netrc"),
    *("numbers", "operator", "optparse", "os", "pathlib", "pdb", "pickle", "pickletools", "platform"),
    *("plistlib", "pprint", "profile", "queue", "random", "re", "sched", "secrets", "selectors"),
    *("shelve", "shlex", "shutil", "signal", "socket", "socketserver", "sqlite3", "ssl", "statistics"),
    *("string", "struct", "subprocess", "tarfile", "tempfile", "textwrap", "threading", "timeit"),
    *("tokenize", "trace", "traceback", "types", "typing", "unittest", "unittest.mock", "urllib.error"),
    *("urllib.parse", "urllib.request", "urllib.robotparser", "uuid", "venv", "warnings", "wave"),
    *("weakref", "webbrowser", "xml.dom.minidom", "xml.etree.ElementTree", "xmlrpc.client", "zipfile"),
    *("zoneinfo",),
)
"""Modules whose documentation and comments are read."""

LOGS = (
    '{t} web nginx: {ip} - - [27/Nov/2026:10:00:00 +0000] "GET /{w}/{n} HTTP/1.1" {status} {n} "-" "curl/8.5"',
    "{t} web nginx[{n}]: [error] upstream timed out (110: Connection timed out) client: {ip}",
    "{t} web nginx[{n}]: [error] connect() failed (111: Connection refused) client: {ip}",
    '{t} web nginx[{n}]: [warn] limiting requests, excess: {n}.0 by zone "{w}", client: {ip}',
    "{t} web nginx[{n}]: [crit] SSL_do_handshake() failed while SSL handshaking, client: {ip}, server: 0.0.0.0:443",
    '{t} web nginx[{n}]: [error] open() "/srv/{w}" failed (13: Permission denied), client: {ip}',
    "{t} host sshd[{n}]: Failed password for invalid user {w} from {ip} port {n} ssh2",
    "{t} host sshd[{n}]: Connection closed by authenticating user {w} {ip} port {n} [preauth]",
    "{t} host sshd[{n}]: error: maximum authentication attempts exceeded for {w} from {ip} port {n} ssh2 [preauth]",
    "{t} host sshd[{n}]: fatal: Timeout before authentication for {ip} port {n}",
    "{t} host sshd[{n}]: Accepted publickey for {w} from {ip} port {n} ssh2: ED25519 SHA256:abc",
    "{t} host sshd[{n}]: pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 rhost={ip}",
    "{t} host systemd[1]: {w}.service: Start operation timed out. Terminating.",
    "{t} host systemd[1]: {w}.service: Failed with result 'timeout'.",
    "{t} host systemd[1]: {w}.service: Main process exited, code=exited, status={n}/FAILURE",
    "{t} host systemd[1]: Started {w}.service - The {w} daemon.",
    "{t} host systemd-resolved[{n}]: Server returned error NXDOMAIN, mitigating potential DNS violation",
    "{t} host kernel: [{n}.123456] nfs: server {w} not responding, timed out",
    "{t} host kernel: [{n}.123456] ata1.00: status: {{ DRDY ERR }} error: {{ UNC }}",
    "{t} host kernel: [{n}.123456] Out of memory: Killed process {n} ({w}) total-vm:{n}kB",
    "{t} host kernel: [{n}.123456] x509: certificate {w} loaded: expired keys are refused",
    '{t} host kernel: audit: type=1400 apparmor="DENIED" operation="open" profile="{w}" pid={n}',
    "{t} mx postfix/qmgr[{n}]: 4A{n}: from=<{w}@example.org>, size={n}, nrcpt=1 (queue active)",
    "{t} mx postfix/smtp[{n}]: 4A{n}: to=<{w}@x>, relay=mx.x[{ip}]:25, dsn=2.0.0, status=sent (250 2.0.0 Ok: 4B{n})",
    "{t} mx postfix/smtpd[{n}]: connect from unknown[{ip}]",
    "{t} mx postfix/smtpd[{n}]: disconnect from unknown[{ip}] ehlo=1 auth=0/1 quit=1 commands=2/3",
    "{t} mx postfix/cleanup[{n}]: 4A{n}: message-id=<{n}.{w}@example.org>",
    "{t} mx postfix/anvil[{n}]: statistics: max connection rate 3/60s for (smtp:{ip}) at Nov 27 10:00:00",
    "{t} app[{n}]: {w}: cache entry expired after {n} seconds, fetching it again",
    "{t} app[{n}]: license for {w} expired, the feature is disabled",
    "{t} app[{n}]: access to {w} denied for user {n}: missing role",
    "{t} app[{n}]: rate limit of {n} requests for {w} reached, retrying later",
    "{t} app[{n}]: query on {w} timed out after {n} ms",
    "{t} app[{n}]: certificate of {w} renewed, next renewal in {n} days",
    '{t} app[{n}]: FATAL: password authentication failed for user "{w}"',
    "{t} app[{n}]: session {n} expired; {w} logged out",
    "{t} app[{n}]: HTTP 429 from the {w} service: rate limit exceeded",
    "{t} app[{n}]: could not connect to redis at {ip}:6379: Connection refused",
)
_WORDS = [
    "billing",
    "search",
    "media",
    "catalogue",
    "profile",
    "export",
    "index",
    "queue",
    "worker",
    "gateway",
    "sensor",
    "archive",
    "report",
]


def lines() -> Iterator[str]:
    """Yield at least 20,000 distinct lines."""
    documents = (line for name in MODULES for line in _documents(name))
    yield from itertools.islice(dict.fromkeys(documents), 12_000)
    yield from itertools.islice(_logs(), 9_000)


def _documents(name: str) -> Iterator[str]:
    """Yield the lines of prose in a module: what is in its docstrings and comments, and its messages."""
    try:
        source = inspect.getsource(importlib.import_module(name))
    except (OSError, TypeError):
        source = importlib.import_module(name).__doc__ or ""
    yield from (text for line in source.splitlines() if len(text := line.strip()) > 20)


def _logs() -> Iterator[str]:
    chance = random.Random(20)
    for number in itertools.count():
        values = {
            "t": f"Nov 27 {chance.randrange(24):02}:{chance.randrange(60):02}:{chance.randrange(60):02}",
            "ip": f"192.0.2.{chance.randrange(256)}",
            "w": chance.choice(_WORDS),
            "n": str(chance.randrange(100, 99_999)),
            "status": chance.choice(["200", "301", "404", "421", "450", "500", "502", "504", "535", "550"]),
        }
        yield LOGS[number % len(LOGS)].format(**values)
