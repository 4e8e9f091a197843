"""Fingerprints: errors with one cause are one group in the review queue.

Pure. Called by the store when a message comes to review.
"""

import hashlib
import re
from typing import Final

LENGTH: Final = 12

_QUOTED: Final = re.compile(r"(\"[^\"]*\"|'[^']*')")
# Numbers and long hexadecimal words tell one message from another, not one cause from another.
_VARIES: Final = re.compile(r"\b[0-9a-f]{8,}\b|[0-9]+", re.IGNORECASE)


def fingerprint(error_class: str | None, reason: str, path: str | None, detail: str | None) -> str:
    """Twelve hexadecimal digits, equal for errors that one decision can answer.

    What stands in quotes counts as it is: two unknown values are two questions.

    >>> a = fingerprint("validation", "validation", "Queue", "Record 17 has no queue")
    >>> a == fingerprint("validation", "validation", "Queue", "Record 18 has no queue")
    True
    """
    parts = _QUOTED.split(detail or "")
    even = [part if at % 2 else _VARIES.sub("#", part) for at, part in enumerate(parts)]
    text = "\0".join((error_class or "", reason, path or "", "".join(even)))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:LENGTH]
