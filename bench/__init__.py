"""The measurements behind `dev.py bench`: what devhost costs, against what its storage costs at the least.

Like any caller it knows the app by HTTP, and the state by the provider's own layout; nothing of devhost is imported but
what starts the emulator. A figure counts beside another of the same run only: absolute times are not stable.
"""
