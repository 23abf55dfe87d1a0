"""Waits for the event `go`."""

import azure.durable_functions as df


def waiting(context: df.DurableOrchestrationContext):
    return (yield context.wait_for_external_event("go"))


main = df.Orchestrator.create(waiting)
