"""The vocabulary as frozen values, and pure rules over them; it imports nothing of ours.

What reads files, clocks or sockets is elsewhere, and so is every secret.
"""
