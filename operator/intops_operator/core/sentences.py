"""The words of conditions: what, since when, how many wait, what is done, what to do, who owns it.

`judging` and `standing` compose their messages here, so that all of them read alike.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from intops_api.common import Owner
from intops_operator.core.facts import Counts, instant

LONGEST_MESSAGE = 8000  # the API takes 32,768; nobody reads more than this


def tell(
    what: str,
    *,
    waiting: str = "",
    doing: str = "",
    action: str = "",
    owner: Owner | None = None,
) -> str:
    """One message from its sentences, in the order in which a person needs them."""
    parts = [what, waiting, doing, action, f"Owner: {whom(owner)}." if owner else ""]
    text = " ".join(part for part in parts if part)
    return text if len(text) <= LONGEST_MESSAGE else text[: LONGEST_MESSAGE - 3] + "..."


def whom(owner: Owner) -> str:
    """`service-desk (service-desk@example.com)`."""
    return f"{owner.team} ({owner.contact})"


def at(moment: datetime | str | None) -> str:
    """`2026-11-25 10:02:11 UTC`, or empty."""
    found = instant(moment) if isinstance(moment, str) else moment
    return found.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC") if found else ""


def hour(moment: datetime | str | None) -> str:
    """The hour of a moment, `2026-11-25 10:00 UTC`, or empty."""
    found = instant(moment) if isinstance(moment, str) else moment
    return found.astimezone(UTC).strftime("%Y-%m-%d %H:00 UTC") if found else ""


def since(moment: datetime | str | None) -> str:
    """` since 2026-11-25 10:02:11 UTC`, or empty."""
    return f" since {at(moment)}" if at(moment) else ""


def messages(number: int) -> str:
    """`1 message`, `148 messages`."""
    return f"{number} message{'' if number == 1 else 's'}"


def waiting(counts: Counts | None) -> str:
    """How many messages wait, and since when the oldest does."""
    if counts is None:
        return ""
    if counts.in_flight == 0:
        return "No message is waiting."
    verb = "is" if counts.in_flight == 1 else "are"
    oldest = f", the oldest{since(counts.oldest_at)}" if at(counts.oldest_at) else ""
    return f"{messages(counts.in_flight)} {verb} waiting, none lost{oldest}."


def listed(items: Iterable[str]) -> str:
    """`a`, `a and b`, `a, b and c`, in the given order."""
    found = list(items)
    if len(found) < 2:
        return "".join(found)
    return ", ".join(found[:-1]) + " and " + found[-1]


def quoted(items: Iterable[str]) -> str:
    """`"a", "b" and "c"`."""
    return listed(f'"{item}"' for item in items)


def numbered(sentences: Sequence[str]) -> str:
    """One sentence as it is; several with numbers, so that none is overlooked."""
    if len(sentences) == 1:
        return sentences[0]
    return " ".join(f"({number}) {text}" for number, text in enumerate(sentences, start=1))


def sentence(text: str) -> str:
    """The text with a full stop at its end, unless it ends like a sentence already, be it a quoted one."""
    text = text.strip()
    return text if text.rstrip("\"'").endswith((".", "!", "?")) else f"{text}."
