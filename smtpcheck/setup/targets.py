"""What a script can be written for. A further one is a line here, and a value of `Target`."""

from collections.abc import Callable, Mapping

from smtpcheck.setup.azure_cli import azure_cli_script
from smtpcheck.setup.choices import Target
from smtpcheck.setup.graph_powershell import graph_powershell_script
from smtpcheck.setup.plan import SetupPlan
from smtpcheck.setup.terraform import terraform_script

SCRIPTS: Mapping[Target, Callable[[SetupPlan], str]] = {
    Target.GRAPH_POWERSHELL: graph_powershell_script,
    Target.AZURE_CLI: azure_cli_script,
    Target.TERRAFORM: terraform_script,
}
