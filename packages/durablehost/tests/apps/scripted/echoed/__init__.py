"""Returns its input."""

import azure.durable_functions as df


def echoed(context: df.DurableOrchestrationContext):
    return context.get_input()


main = df.Orchestrator.create(echoed)
