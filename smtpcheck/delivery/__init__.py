"""What is sent, and the ways to find it again."""
