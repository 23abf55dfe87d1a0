"""The demonstration behind `dev.py demo`: sample data in Azurite, one orchestration over it, its result shown.

It knows the function app by its HTTP interface alone: what happens here, a caller of the deployed app could do.
"""
