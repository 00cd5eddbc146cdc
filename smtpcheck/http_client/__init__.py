"""One bounded HTTP exchange: what every client of the product keeps to, in the event loop and in threads.

What a response means (a token, a refusal, a message) is the business of the rooms that ask.
"""
