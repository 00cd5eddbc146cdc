"""The embedded world: issuers like Microsoft Entra and Google, SMTP like Exchange Online and Gmail, scenarios as data.

Rules of this room:
- Everything listens on 127.0.0.1 and nothing leaves it.
- It has its own SMTP codec and its own work with JWTs: two ends that share one codec share its bugs. From the rest of
  smtpcheck it imports the vocabulary alone.
- To add a scenario, add one row to `scenarios.SCENARIOS`; to add a kind of credential, a class to `credentials`.
"""
