"""Where alerts are sent, one file for each kind. When and how often is the dispatcher's business.

To add a kind: a file with its `Notifier`, and its line in `NOTIFIER_TYPES`.
"""

from smtpcheck.alerts.notifiers.alertmanager import Alertmanager
from smtpcheck.alerts.notifiers.apprise import Apprise
from smtpcheck.alerts.notifiers.jira_service_management import JiraServiceManagement
from smtpcheck.alerts.notifiers.log import Log
from smtpcheck.alerts.notifiers.notifier import Notifier
from smtpcheck.alerts.notifiers.pagerduty import PagerDuty
from smtpcheck.alerts.notifiers.webhook import Webhook

NOTIFIER_TYPES: tuple[type[Notifier], ...] = (
    Alertmanager,
    PagerDuty,
    JiraServiceManagement,
    Apprise,
    Webhook,
    Log,
)
