"""The domain of the demo app, free of the durable SDK so that every rule in it can be called and tested directly."""
