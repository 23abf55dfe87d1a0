"""The host of one app: its parts, and the order in which they start and end."""
