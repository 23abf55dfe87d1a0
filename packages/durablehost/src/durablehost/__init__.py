"""A local host for Azure Functions v1 Python apps with Durable Functions, on Azurite or Azure Storage."""

__version__ = "0.1.0"
