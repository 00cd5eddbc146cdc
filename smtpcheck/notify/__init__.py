"""Places that alerts are told to. To add one: a file with its `Notifier`, and its line in `NOTIFIER_TYPES`."""

from smtpcheck.notify.alertmanager import Alertmanager
from smtpcheck.notify.apprise import Apprise
from smtpcheck.notify.log import Log
from smtpcheck.notify.notifier import Notifier
from smtpcheck.notify.webhook import Webhook

NOTIFIER_TYPES: tuple[type[Notifier], ...] = (Alertmanager, Apprise, Webhook, Log)
