"""Which headers an app can set: those of a function's response, and `customHeaders` in host.json."""

from __future__ import annotations

import re

HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# Kestrel refuses the same.
FORBIDDEN_IN_VALUES = re.compile(r"[^\t\x20-\x7e]")
# The server frames the answer; such headers of an app would contradict the bytes that are sent.
FRAMING_HEADERS = frozenset({"content-length", "transfer-encoding", "connection", "keep-alive", "upgrade"})
