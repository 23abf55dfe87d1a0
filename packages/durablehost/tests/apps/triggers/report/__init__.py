"""Returns its input."""

import azure.durable_functions as df


def report(context: df.DurableOrchestrationContext) -> object:
    return context.get_input()


main = df.Orchestrator.create(report)
