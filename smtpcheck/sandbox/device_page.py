"""The page where a user types the code of a device, and the same for programs: a form with `code` and `user`.

Rule of this file: the account is believed, for nobody here has a password; `decline` instead of a user declines.
"""

from collections.abc import Callable
from html import escape

from aiohttp import web

from smtpcheck.sandbox.entra import EntraError

PATH = "/device"
_PAGE = """<!doctype html><title>Sign in</title><h1>Enter the code that your device shows</h1><p>{said}</p>
<form method="post"><label>Code <input name="code" value="{code}" required></label>
<label>Account <input name="user"></label>
<button>Approve</button> <button name="decline" value="1">Decline</button></form>
"""


class DevicePage:
    """The page of one issuer."""

    def __init__(self, approve: Callable[[str, str], None], decline: Callable[[str], None]) -> None:
        """Decide by the issuer's own means, which raise `KeyError` for a code that does not wait."""
        self._approve, self._decline = approve, decline

    def serve(self, app: web.Application) -> None:
        """Add the page to an issuer."""
        app.router.add_get(PATH, self._show)
        app.router.add_post(PATH, self._decide)

    async def _show(self, request: web.Request) -> web.Response:
        return _page("", request.query.get("code", ""))

    async def _decide(self, request: web.Request) -> web.Response:
        form = await request.post()
        code, user = str(form.get("code", "")), str(form.get("user", ""))
        try:
            if form.get("decline"):
                self._decline(code)
            else:
                self._approve(code, user)
        except KeyError:
            return _page("That code did not work. Check the code and try again.", code, 400)
        except EntraError:
            return _page(f"There is no account {user} here.", code, 400)
        return _page("You may close this window and return to your device.", "")


def _page(said: str, code: str, status: int = 200) -> web.Response:
    text = _PAGE.format(said=escape(said), code=escape(code))
    return web.Response(text=text, content_type="text/html", status=status)
