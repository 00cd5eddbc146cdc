"""A message: how it is composed, how it is recognised, and what its headers say; pure.

It is sent by `smtp/` and found again by `loopback/`.
"""
