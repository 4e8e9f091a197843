"""Samples without what must not be copied: tokens, passwords and mail addresses are masked.

What the names of fields tell counts first, then the form of a value, then what stands within a text.
"""

import re
from typing import Any, Final

from intops_core.rules.connectors import is_credential

MASKED: Final = "masked"
PERSON: Final = "person@example.com"

_MORE_SECRET_NAMES: Final = re.compile(
    r"cookie|session[_-]?id|signature$|^sig$|hmac|(routing|integration|service|signing|shared|client|ssh)[_-]?key$"
    r"|secret|passw|token|credential|authorization|api[_-]?key",
    re.IGNORECASE,
)
_USERINFO: Final = re.compile(r"(?<=://)[^/?#\s@]*@")
_MAIL: Final = re.compile(
    r"[^\s@<>\"'(),;:/=\[\]]+@[^\s@<>\"'(),;:/=\[\]]+\.[^\s@<>\"'(),;:/=\[\].]+"
)
_WITHIN: Final = (
    re.compile(
        r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL
    ),
    re.compile(r"\b(?:Bearer|Basic|Token)\s+[\w.~+/=-]{8,}", re.IGNORECASE),
    re.compile(r"\beyJ[\w-]{8,}\.[\w-]+(?:\.[\w-]*)?"),
    re.compile(
        r"\bgh[pousr]_\w{20,}|\bglpat-[\w-]{16,}|\bxox[abprs]-[\w-]{10,}|\bAKIA[0-9A-Z]{16}\b"
    ),
)
_NAMED: Final = re.compile(
    r"((?:[\w-]*(?:pass(?:word|wd|phrase)?|pwd|secret|token|api[_-]?key|access[_-]?key|signature)[\w-]*|\bsig|\bauth)"
    r"\"?\s*[=:]\s*\"?)[^\s&#,;\"']+",
    re.IGNORECASE,
)  # fmt: skip


def masked(value: Any, name: str = "") -> Any:
    """The same JSON with secrets and mail addresses masked, also those in names of fields.

    >>> masked({"apiToken": "a1b2", "by": "ann@corp.test"})
    {'apiToken': 'masked', 'by': 'person@example.com'}
    """
    if isinstance(value, dict):
        told = str(value.get("name", value.get("key", "")))
        return {
            masked_text(key): masked(child, _told(key, told, name)) for key, child in value.items()
        }
    if isinstance(value, list):
        return [masked(child, name) for child in value]
    if value is None or isinstance(value, bool):
        return value
    if _is_secret(name) or is_credential(name, value):
        return MASKED
    return masked_text(value) if isinstance(value, str) else value


def _told(key: str, beside: str, above: str) -> str:
    """The name that tells whether a value is secret: its own, that beside it, or that of what it lies in."""
    if key == "value" and _is_secret(beside):
        return beside
    return above if _is_secret(above) else key


def masked_text(text: str) -> str:
    """A text without the secrets and mail addresses that stand in it."""
    text = _USERINFO.sub("", text) if "://" in text else text
    for form in _WITHIN:
        text = form.sub(MASKED, text)
    text = _NAMED.sub(rf"\1{MASKED}", text)
    return _MAIL.sub(PERSON, text) if "@" in text else text


def _is_secret(name: str) -> bool:
    return bool(_MORE_SECRET_NAMES.search(name))
