"""Uses the unsupported feature that its input names, after an activity."""

import azure.durable_functions as df


def unsupported(context: df.DurableOrchestrationContext):
    yield context.call_activity("echo", 1)
    if context.get_input() == "token source":
        source = df.ManagedIdentityTokenSource("https://management.core.windows.net")
        yield context.call_http("GET", "http://localhost/", token_source=source)


main = df.Orchestrator.create(unsupported)
