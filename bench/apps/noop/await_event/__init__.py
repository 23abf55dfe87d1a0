"""Waits for the external event `go`, does nothing once, and returns when it did."""

import azure.durable_functions as df


def await_event(context: df.DurableOrchestrationContext):
    yield context.wait_for_external_event("go")
    return (yield context.call_activity("nothing", 0))


main = df.Orchestrator.create(await_event)
