"""Starts the greeting of the names in the body, a JSON array."""

import azure.durable_functions as df
import azure.functions as func


async def main(req: func.HttpRequest, starter: str) -> func.HttpResponse:
    client = df.DurableOrchestrationClient(starter)
    names = req.get_json() if req.get_body() else ["Tokyo", "Seattle", "London"]
    instance_id = await client.start_new("greet_all", req.route_params.get("instanceId"), names)
    return client.create_check_status_response(req, instance_id)
