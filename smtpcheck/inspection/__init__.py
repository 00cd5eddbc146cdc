"""What the provider itself says of an application, its mailboxes, a sign-in, an outage, a message: read only.

It asks and returns facts; what they mean is decided in `diagnosis`, when to ask in `agent`. One file in `questions` for
each question, gathered in `questions.QUESTIONS`.
"""
