"""What outlives a restart: the SQLite file in the state folder, and how reports are packed into it."""
