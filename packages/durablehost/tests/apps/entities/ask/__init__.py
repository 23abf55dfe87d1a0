"""Runs operations of an entity one after another and returns the results of the calls."""

import azure.durable_functions as df


def ask(context: df.DurableOrchestrationContext):
    request = context.get_input()
    entity = df.EntityId(request["entity"], request["key"])
    answers = []
    for kind, operation, value in request["steps"]:
        if kind == "signal":
            context.signal_entity(entity, operation, value)
            continue
        try:
            answers.append((yield context.call_entity(entity, operation, value)))
        except Exception as error:
            answers.append(f"failed: {error}")
    return answers


main = df.Orchestrator.create(ask)
