"""The finder that searches by IMAP: bytes, client, folders, search.

What a search is asked and what it answers is in `loopback/finder.py`.
"""
