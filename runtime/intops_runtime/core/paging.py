"""How a long answer goes on: the address of the page after one, or the body that asks for it. Pure.

Called for each page of a search and of a listing.

Design reference, section 5.5: a next page must stay on the endpoint's origin, for the credential goes with it.
"""

from typing import Any, Final
from urllib.parse import parse_qsl, quote, urlencode, urljoin, urlsplit, urlunsplit

from intops_api.connector_class import Paginate

_FIRST: Final = {"page": 1, "offset": 0}


class PageError(Exception):
    """There is a next page that cannot be asked for."""


def next_url(paginate: Paginate, url: str, told: Any, count: int) -> str | None:
    """The address of the next page; None where this one is the last.

    Args:
        paginate: How the class says that pages are named.
        url: Address of the page that was read.
        told: Value of `next`; None where the class has no such expression, or the answer names no page.
        count: How many records the page had.

    Raises:
        PageError: it is elsewhere, or the same one again.

    >>> numbered = Paginate(style="page", param="page")
    >>> next_url(numbered, "https://desk.example.com/t?q=a%20b", None, 20)
    'https://desk.example.com/t?q=a%20b&page=2'
    >>> next_url(numbered, "https://desk.example.com/t?page=2", None, 0) is None
    True
    """
    if paginate.style == "none":
        return None
    if told in (None, ""):
        if paginate.next is not None or count == 0:
            return None
        told = _counted(paginate, url, count)
    found = urljoin(url, str(told)) if paginate.style == "link" else _with(url, paginate, told)
    if _origin(found) != _origin(url):
        raise PageError(f"the next page is at {_origin(found)}, which is not where this one was")
    if found == url:
        raise PageError("the next page is this one again")
    return found


def next_body(path: str, body: Any, told: Any) -> Any:
    """The body that asks for the next page; None where this one is the last.

    Args:
        path: Where the cursor stands in the body, dotted.
        body: What was sent for the page that was read.
        told: The cursor of the next page, or None.

    Raises:
        PageError: it is the same page again, or the body has no such place.

    >>> next_body("params.from", {"method": "get", "params": {"limit": 2}}, "7")
    {'method': 'get', 'params': {'limit': 2, 'from': '7'}}
    """
    if told in (None, ""):
        return None
    name, _, rest = path.partition(".")
    if not isinstance(body, dict):
        raise PageError(f"the body has no place for {path}")
    if rest:
        return {**body, name: next_body(rest, body.get(name), told)}
    if body.get(name) == told:
        raise PageError("the next page is this one again")
    return {**body, name: told}


def _counted(paginate: Paginate, url: str, count: int) -> int:
    step = 1 if paginate.style == "page" else count
    here = dict(parse_qsl(urlsplit(url).query)).get(paginate.param or "", "")
    return (int(here) if here.isdecimal() else _FIRST[paginate.style]) + step


def _with(url: str, paginate: Paginate, told: Any) -> str:
    parts = urlsplit(url)
    name = paginate.param or ""
    pairs = [pair for pair in parse_qsl(parts.query, keep_blank_values=True) if pair[0] != name]
    value = str(int(told)) if isinstance(told, float) and told.is_integer() else str(told)
    query = urlencode([*pairs, (name, value)], quote_via=quote)
    return urlunsplit(parts._replace(query=query))


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
