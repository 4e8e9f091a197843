"""What was found for a content is found once, and the content is not kept."""

from __future__ import annotations

import gc
import weakref

from intops_core.conformance import judge
from intops_core.memo import Memo
from support.conformance import load, manifests


def test_a_result_is_made_once_and_the_oldest_goes_first() -> None:
    """What was asked for last stays."""
    memo, made = Memo[int](2), list[str]()

    def asked(key: str) -> int:
        def make() -> int:
            made.append(key)
            return len(key)

        return memo.get(key, make)

    assert [asked(key) for key in ("a", "bb", "a", "ccc", "a", "bb")] == [1, 2, 1, 3, 1, 2]
    assert made == ["a", "bb", "ccc", "bb"]


def test_a_mapping_that_was_judged_is_not_kept_by_what_was_found() -> None:
    """Thousands of them are judged, and only hashes and sentences may stay."""
    resources, loaded = load(manifests())
    mapping = next(one for one in loaded if one.ref.kind == "Mapping")
    assert judge(mapping, resources) == []
    kept = weakref.ref(mapping)

    del resources, loaded, mapping
    gc.collect()

    assert kept() is None
