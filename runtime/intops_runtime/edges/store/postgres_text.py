"""Text that PostgreSQL can keep: it knows no character NUL. Used wherever text of others is written."""

from typing import overload


@overload
def plain(text: str) -> str: ...
@overload
def plain(text: None) -> None: ...
def plain(text: str | None) -> str | None:
    """The text with NUL shown as the character for what cannot be shown.

    >>> plain("a\\0b")
    'a\ufffdb'
    """
    return text if text is None or "\0" not in text else text.replace("\0", "\ufffd")
