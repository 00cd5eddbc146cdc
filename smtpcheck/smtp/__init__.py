"""SMTP submission: reply, sasl and dialogue are pure; connection, resolver and tls touch the network."""
