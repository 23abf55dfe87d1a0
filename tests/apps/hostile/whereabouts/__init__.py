"""Answers with what a durable client is told, the address of the RPC base in it."""

import azure.functions as func


def main(req: func.HttpRequest, starter: str) -> func.HttpResponse:
    return func.HttpResponse(starter, mimetype="application/json")
