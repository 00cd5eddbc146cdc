"""What a script can be written for. A further one is a line here, and a value of `Target`."""

from collections.abc import Callable, Mapping
from pathlib import Path

from smtpcheck.config.settings import Settings
from smtpcheck.model.printable import printable
from smtpcheck.oauth.google_service_account import GoogleServiceAccount
from smtpcheck.setup.azure_cli import azure_cli_script
from smtpcheck.setup.choices import Target
from smtpcheck.setup.gcloud import gcloud_script, google_credentials
from smtpcheck.setup.google_record import google_undo_script, is_google
from smtpcheck.setup.graph_powershell import graph_powershell_script
from smtpcheck.setup.plan import SetupError, SetupPlan
from smtpcheck.setup.planning import Wishes, microsoft_credentials, microsoft_plan
from smtpcheck.setup.record import read_record, read_text
from smtpcheck.setup.terraform import terraform_script
from smtpcheck.setup.undo import listing_script, undo_script

_FOR_MICROSOFT: Mapping[Target, Callable[[SetupPlan], str]] = {
    Target.GRAPH_POWERSHELL: graph_powershell_script,
    Target.AZURE_CLI: azure_cli_script,
    Target.TERRAFORM: terraform_script,
}


def script_for(settings: Settings, wishes: Wishes, to: Target | None) -> str:
    """Return the script that sets up what the configuration needs.

    `to`: None chooses by the credentials.

    Raises:
        SetupError: There is no right one.
    """
    if (to or _target(settings, wishes)) is Target.GCLOUD:
        return gcloud_script(settings, wishes)
    return _FOR_MICROSOFT[to or Target.GRAPH_POWERSHELL](microsoft_plan(settings, wishes))


def listing_for(settings: Settings, wishes: Wishes) -> str:
    """Return the script that lists what a removal would be about. Raises SetupError."""
    if _target(settings, wishes) is Target.GCLOUD:
        raise SetupError("for Google only a record says what to take back: smtpcheck setup --undo RECORD")
    return listing_script(microsoft_plan(settings, wishes))


def undo_of(record: Path) -> str:
    """Return the script that takes a record back. Raises SetupError."""
    text = read_text(record)
    if not is_google(text):
        return undo_script(read_record(record))
    try:
        return google_undo_script(text)
    except (ValueError, RecursionError) as error:
        raise SetupError(f"{record}: {printable(str(error), limit=400)}") from None


def _target(settings: Settings, wishes: Wishes) -> Target:
    """Return what fits the credentials that are named, or that there are. Raises SetupError where both kinds are."""
    named = wishes.names or (*microsoft_credentials(settings), *google_credentials(settings))
    of_google = [name for name in named if isinstance(settings.credentials.get(name), GoogleServiceAccount)]
    if of_google and len(of_google) < len(named):
        others = " ".join(name for name in named if name not in of_google)
        raise SetupError(
            "there are credentials of Microsoft and of Google, whose scripts are different: "
            f"smtpcheck setup {others}; smtpcheck setup {of_google[0]}"
        )
    return Target.GCLOUD if of_google else Target.GRAPH_POWERSHELL
