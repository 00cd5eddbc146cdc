"""Places that alerts are told to. To add one: a file with its `Notifier`, and its line in `NOTIFIER_TYPES`."""

from smtpcheck.alerts.notifiers.alertmanager import Alertmanager
from smtpcheck.alerts.notifiers.apprise import Apprise
from smtpcheck.alerts.notifiers.log import Log
from smtpcheck.alerts.notifiers.notifier import Notifier
from smtpcheck.alerts.notifiers.webhook import Webhook

NOTIFIER_TYPES: tuple[type[Notifier], ...] = (Alertmanager, Apprise, Webhook, Log)
