"""Returns its input, its own instance id and that of its parent."""

import azure.durable_functions as df


def child(context: df.DurableOrchestrationContext):
    echoed = yield context.call_activity("echo", context.get_input())
    return [echoed, context.instance_id, context.parent_instance_id]


main = df.Orchestrator.create(child)
