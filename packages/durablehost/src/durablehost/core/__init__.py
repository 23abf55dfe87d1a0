"""Pure durable execution: values in, values out; no I/O, no clock, no randomness, no event loop."""
