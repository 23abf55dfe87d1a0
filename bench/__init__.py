"""The measurements of `dev.py bench`: the cost of durablehost, against the least cost of its storage.

The bench uses the app over HTTP, as any caller, and reads the state by the layout of the provider. Of durablehost it
imports only what starts the emulator. Figures are comparable only within one run: absolute times are not stable.
"""
