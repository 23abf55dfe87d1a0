"""Does nothing `chunks` times, all at once; more than `group_size` of them in sub-orchestrations of that size.

A group size of null keeps them in one orchestration, however many. The result is the number of activities that ran.
"""

import azure.durable_functions as df


def fan_out(context: df.DurableOrchestrationContext):
    asked = context.get_input()
    chunks, group_size = asked["chunks"], asked["group_size"]
    if group_size and chunks > group_size:
        groups = [
            context.call_sub_orchestrator(
                "fan_out", {"chunks": min(group_size, chunks - first), "group_size": group_size}
            )
            for first in range(0, chunks, group_size)
        ]
        return sum((yield context.task_all(groups)))
    return len((yield context.task_all([context.call_activity("nothing", chunk) for chunk in range(chunks)])))


main = df.Orchestrator.create(fan_out)
