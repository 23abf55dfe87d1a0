"""What the SDK's client can do with an instance, each by its name in the route."""

import json

import azure.durable_functions as df
import azure.functions as func


async def main(req: func.HttpRequest, starter: str) -> func.HttpResponse:
    client = df.DurableOrchestrationClient(starter)
    instance_id, operation = req.route_params["instanceId"], req.route_params["operation"]
    if operation == "wait":
        return await client.wait_for_completion_or_create_check_status_response(
            req, instance_id, int(req.params["timeout"]), 100
        )
    return func.HttpResponse(json.dumps(await CALLS[operation](client, instance_id)))


async def status(client, instance_id):
    found = await client.get_status(instance_id, show_history=True, show_history_output=True, show_input=True)
    return found.to_json() if found else None


async def statuses(client, instance_id):
    return [each.instance_id for each in await client.get_status_all()]


async def terminate(client, instance_id):
    return await client.terminate(instance_id, "no longer & not needed?")


async def rewind(client, instance_id):
    return await client.rewind(instance_id, "mended & tried")


async def purge(client, instance_id):
    return (await client.purge_instance_history(instance_id)).instances_deleted


async def approve(client, instance_id):
    return await client.raise_event(instance_id, "approval", {"by": "kim"})


async def restart(client, instance_id):
    return await client.restart(instance_id)


CALLS = {
    "status": status,
    "statuses": statuses,
    "terminate": terminate,
    "rewind": rewind,
    "purge": purge,
    "approve": approve,
    "restart": restart,
}
