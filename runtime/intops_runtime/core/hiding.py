"""A credential that a system quotes when it refuses us is taken out of its words: they are kept and shown to people.

Pure. Called for refusals only, before the words are cut to their length.
"""

from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import quote, quote_plus

from intops_api.connector_class import Auth, OAuth2
from intops_api.names import SECRET_ALLOWED_ORIGINS

MASK: Final = "•••"
# A shorter value is a word like others: to mask each "demo" would make sentences that nobody can read.
SHORTEST: Final = 6


def quotable(
    how: Auth | OAuth2 | None, secret: Mapping[str, str], headers: Mapping[str, str]
) -> list[str]:
    """What a system could quote of a credential, longest first: values, encoded ones, and what headers prove with.

    Names of users and clients are no secrets, and help whoever reads the words.
    """
    plain = {SECRET_ALLOWED_ORIGINS}
    for part in (how, how.oauth2 if isinstance(how, Auth) else None):
        if part is not None:
            plain |= {getattr(part, name, None) or "" for name in ("username_key", "client_id_key")}
    values = [value for key, value in secret.items() if key not in plain]
    shown = [part for value in headers.values() for part in (value, value.rpartition(" ")[2])]
    forms = {
        form.strip()
        for value in (*values, *shown)
        for form in (value, quote(value, safe=""), quote_plus(value))
    }
    return sorted((form for form in forms if len(form) >= SHORTEST), key=len, reverse=True)


def without(text: str, words: Iterable[str]) -> str:
    """The text with each of these words masked.

    >>> without("no user has the key s3cret!", ["s3cret!"])
    'no user has the key •••'
    """
    for word in words:
        text = text.replace(word, MASK)
    return text
