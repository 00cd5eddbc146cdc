"""Names, connections and TLS: what SMTP, IMAP and HTTP have in common below their own words."""
