"""Runs a gated fan in a child, then calls one more activity."""

import azure.durable_functions as df


def gated_parent(context: df.DurableOrchestrationContext):
    names = yield context.call_sub_orchestrator("gated_fan", context.get_input(), f"{context.instance_id}-child")
    return (yield context.call_activity("echo", names))


main = df.Orchestrator.create(gated_parent)
