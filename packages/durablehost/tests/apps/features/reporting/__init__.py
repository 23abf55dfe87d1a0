"""Sets its custom status, waits for a gate, and sets another."""

import azure.durable_functions as df


def reporting(context: df.DurableOrchestrationContext):
    context.set_custom_status({"phase": "waiting", "share": 0.5})
    yield context.call_activity("gated", context.get_input())
    context.set_custom_status("done")


main = df.Orchestrator.create(reporting)
