"""Runs two children at once, the second under an id of its own."""

import azure.durable_functions as df


def parent(context: df.DurableOrchestrationContext):
    names = context.get_input()
    children = [
        context.call_sub_orchestrator("child", names[0]),
        context.call_sub_orchestrator("child", names[1], f"{context.instance_id}-second"),
    ]
    return (yield context.task_all(children))


main = df.Orchestrator.create(parent)
