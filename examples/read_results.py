"""Reads the stored results of a run: python examples/read_results.py LOCATION

LOCATION is `stored.location` of the run's output: a folder of this machine, or az://container/path. For the latter, the
environment variable AzureWebJobsStorage has the connection string, or another one that --connection names.

The script needs polars and azure-storage-blob, and nothing else of the app: copy it and go on from here.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import polars as pl
from azure.core.exceptions import AzureError, ResourceNotFoundError
from azure.storage.blob import ContainerClient

MANIFEST = "manifest.json"

Read = Callable[[str], bytes]


@contextmanager
def opened(location: str, connection_string: str) -> Iterator[Read]:
    """A function that returns the content of a file at the location, by its name."""
    if not location.startswith("az://"):
        yield lambda name: Path(location, name).read_bytes()
        return
    container, _, folder = location.removeprefix("az://").partition("/")
    with ContainerClient.from_connection_string(connection_string, container) as client:
        yield lambda name: client.download_blob(f"{folder}/{name}").readall()


def read_results(read: Read) -> tuple[dict[str, Any], pl.DataFrame]:
    """The manifest, and the statistics of all chunks, a row per chunk and series."""
    # The manifest is written last: without it, the run has failed, or is not finished. Other files are not part of it.
    manifest = json.loads(read(MANIFEST))
    return manifest, pl.concat(pl.read_parquet(BytesIO(read(file["name"]))) for file in manifest["files"])


def per_series(chunks: pl.DataFrame) -> pl.DataFrame:
    count = pl.col("count")
    return (
        chunks.group_by("series")
        .agg(
            count=count.sum(),
            mean=(pl.col("mean") * count).sum() / count.sum(),
            min=pl.col("min").min(),
            max=pl.col("max").max(),
        )
        .sort("series")
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Reads the stored results of a run.")
    parser.add_argument("location", help="a folder, or az://container/path")
    parser.add_argument("--connection", default="AzureWebJobsStorage", help="the variable with the connection string")
    given = parser.parse_args()
    try:
        with opened(given.location, os.environ.get(given.connection, "")) as read:
            manifest, chunks = read_results(read)
    except (FileNotFoundError, NotADirectoryError, ResourceNotFoundError):
        sys.exit(f"There is no {MANIFEST} in {given.location}: the run has failed or is not finished, or is elsewhere.")
    except AzureError as error:
        sys.exit(f"Cannot read {given.location}: {str(error).splitlines()[0]}")
    except json.JSONDecodeError:
        sys.exit(f"{MANIFEST} in {given.location} is no JSON.")
    except ValueError:
        sys.exit(f"The environment variable {given.connection} has no connection string of a storage account.")
    print(f"{manifest['status']}: {manifest['start']} to {manifest['end']}, {manifest['records']:,} records")
    for failed in manifest["failed_chunks"]:
        print(f"missing: {failed['start']} to {failed['end']}, {failed['error']['message']}")
    with pl.Config(tbl_rows=-1):
        print(per_series(chunks))


if __name__ == "__main__":
    main()
