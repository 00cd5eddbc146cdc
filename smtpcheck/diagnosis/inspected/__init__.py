"""From what the provider itself says to certain causes: of a failure (`causes`), and of what will fail (`defects`).

The rules are in `entra`, `exchange`, `google` and `mailbox`, by what they are about.
"""
