"""The finder that searches by IMAP: connection, folders, search."""
