"""Answers with its own request."""

import json

import azure.functions as func


def main(req: func.HttpRequest) -> func.HttpResponse:
    seen = {
        "method": req.method,
        "url": req.url,
        "headers": dict(req.headers),
        "query": dict(req.params),
        "route": dict(req.route_params),
        "body_bytes": len(req.get_body()),
    }
    return func.HttpResponse(json.dumps(seen), mimetype="application/json")
