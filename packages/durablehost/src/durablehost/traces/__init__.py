"""Traces: exports the spans of the host by OpenTelemetry, if the usual variables ask for it."""
