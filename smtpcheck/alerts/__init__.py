"""What is to be told of failing checks, and to whom it has been told; all of it pure.

A run shows troubles (`trouble`); runs in a row make a check part of an alert or take it out again (`watch`, `board`);
what each notifier was told of an alert stands in its ledger (`ledger`); a notice is an alert in words (`notice`).
"""
