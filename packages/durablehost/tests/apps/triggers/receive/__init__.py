"""Logs a message, or fails on the one that says so."""

import logging

import azure.functions as func


def main(message: func.QueueMessage) -> None:
    text = message.get_body().decode()
    if text == "fail":
        raise ValueError("this message is poisoned")
    logging.info("received %s", text)
