"""The console: the page at `/console`, the JSON that it shows, and the stream of changes.

Rule of this package: it only reads. What changes an instance is a request of the page to the management API.
"""
