"""Azurite: found, started, waited for and stopped."""
