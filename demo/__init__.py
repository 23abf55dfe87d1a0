"""The demonstration behind `dev.py demo`: sample data in Azurite, one orchestration over it, its result shown.

It uses only the HTTP interface of the function app, as any caller of the deployed app could.
"""
