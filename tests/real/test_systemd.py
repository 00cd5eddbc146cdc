"""The unit under a real systemd, which `boot_systemd.sh` boots in namespaces of its own.

Installed by the commands in the unit's head, the agent starts, reads its secret, reloads and ends; and the whole demo
runs within the unit's confinement.
"""

import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.real.daemon import free_port, need_root, real_binary

ROOT = Path(__file__).parent.parent.parent
BOOT = Path(__file__).parent / "boot_systemd.sh"
SECONDS = 300.0
"""What takes longer is considered hanging."""

INSTALL = """
export LD_LIBRARY_PATH=/opt/python/lib
/opt/python/bin/python3 -m venv --without-pip /opt/smtpcheck
printf '/opt/project\\n/opt/packages\\n' > "$(echo /opt/smtpcheck/lib/python3*/site-packages)/project.pth"
printf '#!/opt/smtpcheck/bin/python\\nfrom smtpcheck.cli import main\\nraise SystemExit(main())\\n' \\
  > /opt/smtpcheck/bin/smtpcheck
chmod 755 /opt/smtpcheck/bin/smtpcheck
mkdir /etc/systemd/system/smtpcheck.service.d
cat > /etc/systemd/system/smtpcheck.service.d/trial.conf <<'UNIT'
[Unit]
DefaultDependencies=no
Wants=
After=
[Service]
Environment=LD_LIBRARY_PATH=/opt/python/lib
StandardOutput=append:/trial/log
StandardError=append:/trial/log
UNIT
cd /opt/project/dashboards/systemd
{commands}
systemctl daemon-reload
"""
RUN = """
systemctl start smtpcheck
systemctl show --property=ActiveState --property=NRestarts smtpcheck
grep -E '^(Seccomp|NoNewPrivs|CapBnd|Uid):' "/proc/$(systemctl show --property=MainPID --value smtpcheck)/status"
runuser -u smtpcheck -- env XDG_STATE_HOME=/var/lib /opt/smtpcheck/bin/smtpcheck \\
  validate -c /etc/smtpcheck/checks.yaml --strict && echo 'valid'
systemctl reload smtpcheck
until grep -q 'configuration loaded' /trial/log; do sleep 0.2; done
until grep -q '"event": "run"' /trial/log; do sleep 0.2; done
systemctl stop smtpcheck
systemctl show --property=Result --property=ExecMainStatus smtpcheck
echo 'chekcs: []' > /etc/smtpcheck/checks.yaml
systemctl start smtpcheck && echo 'started with a mistake' || echo 'not started with a mistake'
systemctl stop smtpcheck
"""
DEMO = """
printf '[Service]\\nType=oneshot\\nRestart=no\\nTimeoutStartSec=infinity\\nWatchdogSec=0\\nExecStart=\\n' \\
  >> /etc/systemd/system/smtpcheck.service.d/trial.conf
echo 'ExecStart=/opt/smtpcheck/bin/smtpcheck demo --once' >> /etc/systemd/system/smtpcheck.service.d/trial.conf
systemctl daemon-reload
systemctl start smtpcheck && echo 'the demo came out as expected'
"""
CHECKS = """
agent: {{listen: "127.0.0.1:{port}"}}
credentials:
  contoso:
    type: oauth2
    token_endpoint: https://127.0.0.1:{unheard}/token
    grant: client_credentials
    client_id: x
    client_secret: {{file: /run/credentials/smtpcheck.service/contoso}}
    scope: [mail]
checks:
  - {{name: billing, mailbox: billing@contoso.com, credential: contoso, interval: 5s,
     server: {{host: 127.0.0.1, port: {unheard}}}}}
"""


def installed_by() -> str:
    """Return the commands of the unit's head, but for the package's installation and the start at boot."""
    head = (ROOT / "dashboards" / "systemd" / "smtpcheck.service").read_text().partition("[Unit]")[0]
    commands = re.findall(r"^#   (install .*)$", head, re.MULTILINE)
    assert len(commands) == 6
    return "\n".join(commands).replace("644 checks.yaml", "644 /trial/checks.yaml").replace(
        "600 contoso.secret", "600 /trial/contoso.secret"
    ).replace("README.md /usr", "/opt/project/README.md /usr")  # fmt: skip


def booted(folder: Path, script: str) -> tuple[str, str]:
    """Boot systemd, run a script under it, and return what it printed, and what the service did."""
    need_root("systemd")
    real_binary("systemd-sysusers")
    (folder / "top").mkdir()
    (folder / "trial").write_text(script)
    namespaces = (
        "--mount",
        "--propagation",
        "private",
        "--pid",
        "--fork",
        "--kill-child",
        "--cgroup",
        "--uts",
        "--ipc",
    )
    done = subprocess.run(
        [real_binary("unshare"), *namespaces, BOOT, folder, sys.base_prefix, sysconfig.get_path("purelib"), ROOT],
        env={"PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS, check=False,
    )  # fmt: skip
    if refused := re.search(r"(unshare|mount): .*(not permitted|ermission denied)", done.stderr):
        pytest.skip(f"this machine gives no namespaces: {refused[0]}")
    read = [path.read_text() if path.exists() else "" for path in (folder / "printed", folder / "log")]
    assert read[0], done.stdout + done.stderr
    return read[0], read[1]


@pytest.fixture
def install(tmp_path: Path) -> str:
    """Return a script that installs the unit, with a configuration whose issuer and server do not answer."""
    (tmp_path / "checks.yaml").write_text(CHECKS.format(port=free_port(), unheard=free_port()))
    (tmp_path / "contoso.secret").write_text("a secret")
    return INSTALL.format(commands=installed_by())


def test_the_agent_runs_as_a_service(tmp_path: Path, install: str) -> None:
    """It starts when it is ready, has no rights, reads its secret, reloads, and does not start with a mistake."""
    printed, log = booted(tmp_path, install + RUN)
    lines = set(printed.splitlines())
    rights = {"NoNewPrivs:\t1", "Seccomp:\t2", "CapBnd:\t0000000000000000"}
    assert {"ActiveState=active", "NRestarts=0", *rights} <= lines, printed + log
    assert {"valid", "Result=success", "ExecMainStatus=0", "not started with a mistake"} <= lines, printed + log
    assert "Uid:\t0" not in printed
    assert '"cause": "issuer_unavailable"' in log, log
    assert "secret_unreadable" not in log


def test_the_demo_runs_within_the_confinement_of_the_service(tmp_path: Path, install: str) -> None:
    """TLS, tokens, IMAP, mail APIs, state: no system call, file or kind of socket that it needs is missing."""
    printed, log = booted(tmp_path, install + DEMO)
    assert "the demo came out as expected" in printed.splitlines(), printed + log
    assert "checks: all as expected" in log
