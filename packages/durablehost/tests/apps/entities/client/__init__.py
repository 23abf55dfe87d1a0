"""What the SDK's client can do with a counter: POST signals it with the body, GET reads it."""

import json

import azure.durable_functions as df
import azure.functions as func


async def main(req: func.HttpRequest, starter: str) -> func.HttpResponse:
    client = df.DurableOrchestrationClient(starter)
    entity = df.EntityId("Counter", req.route_params["key"])
    if req.method == "POST":
        value = req.get_json() if req.get_body() else None
        await client.signal_entity(entity, req.route_params["operation"], value)
        return func.HttpResponse(status_code=202)
    found = await client.read_entity_state(entity)
    return func.HttpResponse(json.dumps({"exists": found.entity_exists, "state": found.entity_state}))
