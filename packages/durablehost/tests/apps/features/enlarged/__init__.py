"""Takes a large text in, through an activity, and out again."""

import azure.durable_functions as df


def enlarged(context: df.DurableOrchestrationContext):
    options = context.get_input()
    results = yield context.task_all([context.call_activity("enlarge", options) for _ in range(2)])
    return {"received": len(options["text"]), "results": results}


main = df.Orchestrator.create(enlarged)
