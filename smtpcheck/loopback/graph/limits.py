"""What one search by Microsoft Graph requests: the finder keeps to it, and `validate` announces it.

Rules of this file:
- Pure: numbers alone. They hold while an answer has one page and a filter is not too complex; where Graph asks to wait
  a moment, each request may come a second time.
- The name of each folder that holds a message of ours is one request more.
"""

from smtpcheck.loopback.finder import FolderKind

WELL_KNOWN = {"inbox": FolderKind.INBOX, "junkemail": FolderKind.JUNK, "sentitems": FolderKind.SENT}
"""The folders that are asked each on its own; the whole mailbox follows where a message was in none of them."""
IDS_PER_REQUEST = 15
_IDS_PER_MESSAGE = 2
"""At most: the one that it was sent with, and the one that the server gave it."""
MESSAGES_PER_REQUEST = IDS_PER_REQUEST // _IDS_PER_MESSAGE
LISTS = len(WELL_KNOWN) + 1
"""How often messages are requested, so many at a time."""
BOUNCE_LISTS = {"inbox": "Inbox", "junkemail": "Junk Email"}
"""Where bounces arrive; the newest mail of each is listed."""
MOST_LISTED = 200
"""Messages of one such folder, the newest."""
PAGE = 50
MOST_READ = 20
"""Messages that are read in one search, because they may be bounces."""
BOUNCE_REQUESTS = len(BOUNCE_LISTS) * MOST_LISTED // PAGE + MOST_READ
"""At most; a mailbox without bounces of others takes two."""
DELETIONS = 2
"""Requests that delete one message: for good, and to Deleted Items where the first does not exist."""
