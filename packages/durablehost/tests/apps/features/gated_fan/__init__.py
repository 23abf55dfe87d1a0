"""Calls a gated activity for every input at once."""

import azure.durable_functions as df


def gated_fan(context: df.DurableOrchestrationContext):
    return (yield context.task_all([context.call_activity("gated", each) for each in context.get_input()]))


main = df.Orchestrator.create(gated_fan)
