"""The model of one whole file: what each key of it may hold, down to each type of credential and notifier.

Rule of this file: the loader validates part by part, so that no part hides another; this model is for what goes through
a file as a whole, the JSON Schema and the variables of the environment.
"""

from functools import cache, reduce
from operator import or_
from typing import Annotated, Any

from pydantic import BaseModel, Field, create_model

from smtpcheck.alerts.notifiers import NOTIFIER_TYPES
from smtpcheck.config.alerts import AlertsSection
from smtpcheck.config.models import AgentSection, ChecksSection, DefaultsSection
from smtpcheck.config.validation import ConfigSection
from smtpcheck.oauth import CREDENTIAL_TYPES


@cache
def file_model() -> type[BaseModel]:
    """Return the model of a file."""
    credential: Any = Annotated[reduce(or_, CREDENTIAL_TYPES), Field(discriminator="type")]
    notifier: Any = Annotated[reduce(or_, NOTIFIER_TYPES), Field(discriminator="type")]
    alerts: Any = create_model(
        "Alerts",
        __base__=AlertsSection,
        notify=(list[notifier] | None, Field(default=None, description="Who is notified.")),
    )
    return create_model(
        "Checks",
        __base__=ConfigSection,
        __doc__="What smtpcheck watches, and how.",
        agent=(AgentSection | None, Field(default=None, description="The agent as a whole.")),
        alerts=(alerts | None, Field(default=None, description="Alerts of its own.")),
        defaults=(DefaultsSection | None, Field(default=None, description="For checks that do not say otherwise.")),
        credentials=(
            dict[str, credential] | None,
            Field(default=None, description="How tokens are obtained, by name."),
        ),
        checks=(list[ChecksSection] | None, Field(default=None, description="What to do, one item for each mailbox.")),
    )
