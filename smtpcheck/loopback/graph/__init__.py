"""The finder that searches by Microsoft Graph: client, search, and how much it requests.

What a search is asked and what it answers is in `loopback/finder.py`.
"""
