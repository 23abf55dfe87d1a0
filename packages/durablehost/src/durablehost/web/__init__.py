"""The HTTP edge: function routes, the management API with its loopback base for SDK clients, admin endpoints."""
