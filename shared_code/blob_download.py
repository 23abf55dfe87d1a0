"""Downloads blobs by plain HTTP requests, each of which takes a third of the processor time of one of the SDK.

The rule of this file: a blob is downloaded in the version in which it was listed, and as it is stored, or not at all;
and no message shows an address, which may have a signature.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import quote

from shared_code.blob_connection import BlobConnection
from shared_code.files import THREADS, ReadingsFile, StorageError, name_of, raise_refusal
from shared_code.location import Location

# Those of the SDK, as `blob_connection` sets them.
_RETRIES: Final[dict[str, Any]] = {"total": 2, "backoff_factor": 1, "status_forcelist": (408, 429, 500, 502, 503, 504)}
_TIMEOUT: Final = (10, 20)
_GOOD: Final = frozenset({200, 206})
# What it says of retries shows addresses.
_LOGGER_OF_RETRIES: Final = logging.getLogger("urllib3")


@contextmanager
def downloading(location: Location, connection: BlobConnection) -> Iterator[Callable[[ReadingsFile, int], bytes]]:
    """A function that returns so many of the last bytes of a blob of the location.

    It may be called by several threads, and raises `StorageError` or `FileNotFoundError`.
    """
    # Imported here: only az:// locations need it, whose SDK brings it.
    from requests.exceptions import RequestException
    from urllib3.exceptions import HTTPError

    container = str(location.container)
    query, headers = connection.plain_access(container)
    place = f"{connection.storage_options['azure_endpoint']}/{container}"
    with _session(place) as session:

        def download(file: ReadingsFile, last: int) -> bytes:
            url = f"{place}/{quote(name_of(file, location))}{query}"
            wanted = {"If-Match": f'"{file.version}"', "x-ms-range": f"bytes={file.size - last}-{file.size - 1}"}
            options = {"timeout": _TIMEOUT, "allow_redirects": False, "stream": True}
            try:
                with session.get(url, headers={**headers, **wanted}, **options) as answer:
                    if answer.status_code not in _GOOD:
                        raise_refusal(answer.status_code, answer.headers.get("x-ms-error-code"))
                    # Not decompressed: a blob may say that it is compressed, and would then be of any size.
                    content = bytes(answer.raw.read(last + 1, decode_content=False))
            except (RequestException, HTTPError) as error:
                reason = f"the storage service cannot be reached ({type(error).__name__})"
                raise StorageError(reason, is_permanent=False) from None
            if len(content) != last:
                raise StorageError(f"the storage service did not answer with {last} bytes", is_permanent=False)
            return content

        yield download


@contextmanager
def _session(place: str) -> Iterator[Any]:
    """A session with the proxies and certificates of the environment, which it reads but once."""
    from requests import Session
    from requests.adapters import HTTPAdapter
    from urllib3.util import Retry

    _LOGGER_OF_RETRIES.setLevel(logging.ERROR)
    with Session() as session:
        found = session.merge_environment_settings(place, {}, None, None, None)
        session.trust_env, session.proxies, session.verify = False, found["proxies"], found["verify"]
        adapter = HTTPAdapter(pool_maxsize=THREADS, max_retries=Retry(**_RETRIES, raise_on_status=False))
        session.mount(place, adapter)
        yield session
