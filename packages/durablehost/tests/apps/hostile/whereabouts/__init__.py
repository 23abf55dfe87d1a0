"""Answers with the input of a durable client, which contains the address of the RPC base."""

import azure.functions as func


def main(req: func.HttpRequest, starter: str) -> func.HttpResponse:
    return func.HttpResponse(starter, mimetype="application/json")
