"""Whether the checks of one key ask a mail API for more than the service says that it allows.

Rules of this file:
- The schedule spreads runs evenly, so averages are compared: who stays below one may still meet a limit for a moment,
  and then the API's own answer says so.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from smtpcheck.config.problems import Place, Problems
from smtpcheck.loopback.plan import Loopback
from smtpcheck.mail_api.apis import api_of
from smtpcheck.model.check import Check, Depth


def lint_api_limits(
    checks: Sequence[Check], loopbacks: Mapping[str, Loopback], places: Mapping[str, Place], problems: Problems
) -> None:
    """Warn at each credential whose checks exceed a limit that their API states.

    `places` has the place of each credential.
    """
    of_key: dict[tuple[str, str], list[Check]] = defaultdict(list)
    for check in checks:
        if check.via is not None and check.credential is not None:
            of_key[check.credential, check.via.api].append(check)
    for (credential, _), together in of_key.items():
        via = together[0].via
        assert via is not None  # noqa: S101 - only checks by an API are here
        api = api_of(via)
        for limit in api.limits:
            asked = limit.seconds * sum(_per_second(check, loopbacks.get(check.name), limit.what) for check in together)
            if asked > limit.count:
                problems.warning(
                    places[credential],
                    f"its checks cause {asked:.3g} {limit.what} every {limit.seconds} s on average, and {api.name}"
                    f" states a limit of {limit.count}",
                    hint="check less often, or divide the checks among keys with limits of their own",
                )


def _per_second(check: Check, loopback: Loopback | None, what: str) -> float:
    """Return the messages a second that a check causes, or its requests."""
    is_message = check.depth is Depth.SEND
    assert check.via is not None  # noqa: S101 - only a check by an API comes here
    requests = 1 if is_message else len(api_of(check.via).proof(check)) if check.depth is Depth.AUTH else 0
    runs = 1 / check.interval if check.scheduled else 0.0
    messages = 1 / loopback.every if loopback is not None else 0.0
    return messages + (runs * is_message if what == "messages" else runs * requests)
