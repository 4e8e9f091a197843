"""What the API server demands of the metadata of every object, for those who judge without one.

Used by resources.py. Kubernetes documents these forms; they are the same for all kinds.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from intops_api.common import DNS_LABEL, DNS_SUBDOMAIN
from intops_core.findings import Breach, suggestion

_FIELDS: Final = frozenset(
    {
        "annotations",
        "creationTimestamp",
        "deletionGracePeriodSeconds",
        "deletionTimestamp",
        "finalizers",
        "generateName",
        "generation",
        "labels",
        "managedFields",
        "name",
        "namespace",
        "ownerReferences",
        "resourceVersion",
        "selfLink",
        "uid",
    }
)
# What people write there; the rest is the API server's own.
_WRITTEN: Final = ("annotations", "finalizers", "labels", "name", "namespace", "ownerReferences")
_LONGEST_NAME: Final = 253
_LONGEST_LABEL: Final = 63
_MOST_ANNOTATIONS: Final = 256 * 1024  # bytes of all keys and values
_WORD: Final = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")


def metadata_as_stored(meta: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata of a manifest as an API server reads it: null is absent, and an empty text in a map."""
    made = {field: value for field, value in meta.items() if value is not None}
    for field in ("labels", "annotations"):
        if isinstance(made.get(field), dict):
            made[field] = {k: "" if v is None else v for k, v in made[field].items()}
    return made


def metadata_breaches(meta: Mapping[str, Any]) -> Iterator[Breach]:
    """Every place of the metadata that an API server refuses; types are judged elsewhere."""
    for field in meta:
        if field not in _FIELDS:
            words = f'There is no field "{field}" here, so it would do nothing.'
            yield Breach(f"metadata.{field}", words + suggestion(str(field), _WRITTEN))
    name, namespace = meta.get("name"), meta.get("namespace")
    if isinstance(name, str) and name and not _is(DNS_SUBDOMAIN, name, _LONGEST_NAME):
        words = (
            '"name" is not a name; use lower-case letters, digits, dashes and dots, at most 253.'
        )
        yield Breach("metadata.name", words)
    if isinstance(namespace, str) and namespace and not _is(DNS_LABEL, namespace, _LONGEST_LABEL):
        words = '"namespace" is not a name; use lower-case letters, digits and dashes, at most 63.'
        yield Breach("metadata.namespace", words)
    yield from _labels(meta.get("labels"))
    yield from _annotations(meta.get("annotations"))


def _labels(labels: Any) -> Iterator[Breach]:
    for key, value in labels.items() if isinstance(labels, dict) else ():
        if not _is_key(key):
            yield _wrong_key("labels", key)
        if isinstance(value, str) and value and not _is_word(value):
            words = (
                f'The value of label "{key}" is not one that Kubernetes takes; use letters, digits, '
                "dashes, dots and underscores, at most 63, and put other text into an annotation."
            )
            yield Breach("metadata.labels", words)


def _annotations(annotations: Any) -> Iterator[Breach]:
    if not isinstance(annotations, dict):
        return
    for key in annotations:
        if not _is_key(str(key).lower()):
            yield _wrong_key("annotations", key)
    size = sum(
        len(f"{key}{value}".encode("utf-8", "surrogatepass")) for key, value in annotations.items()
    )
    if size > _MOST_ANNOTATIONS:
        words = (
            f"All annotations together have {size} bytes, and Kubernetes keeps at most "
            f"{_MOST_ANNOTATIONS}; keep large texts elsewhere."
        )
        yield Breach("metadata.annotations", words)


def _wrong_key(field: str, key: Any) -> Breach:
    words = (
        f'"{key}" is not a key; use letters, digits, dashes, dots and underscores, at most 63, '
        "behind a domain and a slash if you like, such as example.com/team."
    )
    return Breach(f"metadata.{field}", words)


def _is(form: str, text: str, longest: int) -> bool:
    return (
        len(text) <= longest
        and re.fullmatch(form.removeprefix("^").removesuffix("$"), text) is not None
    )


def _is_word(text: str) -> bool:
    return len(text) <= _LONGEST_LABEL and _WORD.fullmatch(text) is not None


def _is_key(key: Any) -> bool:
    domain, slash, word = str(key).rpartition("/")
    return _is_word(word) and (not slash or _is(DNS_SUBDOMAIN, domain, _LONGEST_NAME))
