"""What every Postfix of the tests has in its main.cf and master.cf.

Rule of this file: nothing here says what a server accepts; that is in the file of each server.
"""

MAIN_CF = """
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
mail_owner = postfix
setgid_group = postdrop
maillog_file = {folder}/postfix.log
maillog_file_prefixes = {folder}
inet_protocols = ipv4
mydestination =
alias_maps =
local_recipient_maps =
smtpd_peername_lookup = no
"""
"""Folders of its own, no local mailbox, and no name that is asked for. To be formatted with `folder`."""

MASTER_CF = """
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
error unix - - n - - error
retry unix - - n - - error
lmtp unix - - n - - lmtp
smtp unix - - n - - smtp
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
"""
"""The services behind the listeners, none in a chroot."""
