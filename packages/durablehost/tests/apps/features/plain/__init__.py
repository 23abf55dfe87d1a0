"""Not a generator at all."""

import azure.durable_functions as df


def plain(context: df.DurableOrchestrationContext):
    return {"input": context.get_input()}


main = df.Orchestrator.create(plain)
