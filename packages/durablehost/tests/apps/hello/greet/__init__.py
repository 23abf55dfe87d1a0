"""Greets one name. A name `wait:<file>` is greeted once that file exists, so that a test decides when."""

import logging
import time
from pathlib import Path


def main(name: str) -> str:
    if name.startswith("wait:"):
        logging.info("waiting for the file")
        while not Path(name[5:]).exists():
            time.sleep(0.02)
        return "Hello at last!"
    logging.info("greeting %s", name)
    return f"Hello {name}!"
