"""The vocabulary as frozen values, and pure rules over them; it imports nothing of ours.

Nothing here reads a file, a clock or a socket, and no secret is held here: those are in `secrets/`.
"""
