"""Calls the activity that makes a span of its own."""

import azure.durable_functions as df


def measuring(context: df.DurableOrchestrationContext):
    return (yield context.call_activity("measured", None))


main = df.Orchestrator.create(measuring)
