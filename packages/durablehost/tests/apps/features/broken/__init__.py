"""Raises in its first episode or, with an activity before, in a later one."""

import azure.durable_functions as df


def broken(context: df.DurableOrchestrationContext):
    if context.get_input() == "later":
        yield context.call_activity("echo", 1)
    raise LookupError(f"broken {context.get_input()}")


main = df.Orchestrator.create(broken)
