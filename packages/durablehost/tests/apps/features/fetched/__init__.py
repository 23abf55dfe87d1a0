"""Sends the HTTP request of its input and returns the response."""

import azure.durable_functions as df


def fetched(context: df.DurableOrchestrationContext):
    request = context.get_input()
    answer = yield context.call_http(request["method"], request["uri"], request.get("content"))
    return {"status": answer["statusCode"], "content": answer["content"]}


main = df.Orchestrator.create(fetched)
