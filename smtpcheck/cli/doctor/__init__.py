"""The doctor: examines one check in twelve stages, says what is wrong in which, and how to fix it.

The command is `command.py`; `examination.py` measures and yields the stages, `document.py` is the whole as values for
JSON, `redacted_bundle.py` makes of that what can be posted in public.
"""
