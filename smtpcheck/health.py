"""`python -m smtpcheck.health [PORT]`: whether the agent on this machine answers, as a container's HEALTHCHECK asks.

Rules of this file:
- It knows no password: every answer of HTTP below 500 is a sign of life, 401 (RFC 9110 15.5.2) too.
- With TLS the handshake is the sign. The certificate is not verified, for it bears the name that others call the agent
  by, and nothing is sent to it. A page that demands client certificates and TLS 1.2 at most ends the handshake itself,
  and so needs a health check of its own.
- It starts every half minute, so it imports nothing but the standard library.
"""

import ssl
import sys
from http.client import HTTPConnection, HTTPException, HTTPSConnection

PORT = 9587
SECONDS = 4.0
"""How long the agent has for an answer."""


def alive(port: int = PORT) -> bool:
    """Return whether an agent at a port of this machine answers, with TLS or without."""
    plain = HTTPConnection("127.0.0.1", port, timeout=SECONDS)
    try:
        plain.request("GET", "/-/healthy")
        return plain.getresponse().status < 500
    except TimeoutError:
        return False
    except (HTTPException, OSError):
        return _speaks_tls(port)
    finally:
        plain.close()


def _speaks_tls(port: int) -> bool:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    secure = HTTPSConnection("127.0.0.1", port, timeout=SECONDS, context=context)
    try:
        secure.connect()
    except OSError:
        return False
    finally:
        secure.close()
    return True


if __name__ == "__main__":
    sys.exit(not alive(*map(int, sys.argv[1:])))
