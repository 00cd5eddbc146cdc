"""A message: how it is composed, and what its headers say; pure.

Sending is `smtp/`, finding it again is `loopback/`.
"""
