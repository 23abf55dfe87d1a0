"""Asks one entity for the operations of its input, all at once; failures are results."""

import azure.durable_functions as df


def asks(context: df.DurableOrchestrationContext):
    entity = df.EntityId("entity", context.instance_id)
    tasks = [context.call_entity(entity, operation) for operation in context.get_input()]
    results = []
    for task in tasks:
        try:
            results.append((yield task))
        except Exception as failure:
            results.append(f"failed: {failure}")
    return results


main = df.Orchestrator.create(asks)
