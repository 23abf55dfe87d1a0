"""Calls the faulty activity; a failure is the result."""

import azure.durable_functions as df


def tried(context: df.DurableOrchestrationContext):
    try:
        return (yield context.call_activity("faulty", context.get_input()))
    except Exception as failure:
        return f"failed: {failure}"


main = df.Orchestrator.create(tried)
