"""Uses the feature that it is told, after an activity."""

import azure.durable_functions as df


def unsupported(context: df.DurableOrchestrationContext):
    yield context.call_activity("echo", 1)
    entity = df.EntityId("counter", "one")
    feature = context.get_input()
    if feature == "call_entity":
        yield context.call_entity(entity, "add", 1)
    elif feature == "signal_entity":
        context.signal_entity(entity, "add", 1)
        yield context.call_activity("echo", 2)
    elif feature == "token source":
        source = df.ManagedIdentityTokenSource("https://management.core.windows.net")
        yield context.call_http("GET", "http://localhost/", token_source=source)


main = df.Orchestrator.create(unsupported)
