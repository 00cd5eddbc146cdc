"""When an alert fires, what is sent of it, and the notifiers that send it.

The rules are pure (`grouping`, `thresholds`, `alert_state`, `notification_log`, `notification`); `dispatcher` and
`notifiers` send. Neither the state file nor the agent is known here: `agent/alerting.py` ties all together.
"""
