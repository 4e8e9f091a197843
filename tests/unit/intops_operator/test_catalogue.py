"""When a shipped object is there already."""

from __future__ import annotations

import copy

from intops_core.catalog import shipped
from intops_operator.edges.catalogue import says, version_of


def test_what_an_api_server_writes_out_is_no_difference() -> None:
    """Absent fields are stored with what they mean; every other change is one."""
    (one,) = [raw for raw in shipped() if raw["metadata"]["name"] == "request-tracker"]
    stored = copy.deepcopy(one["spec"])
    stored["operations"]["create"]["timeout"] = "20s"
    stored["endpointRequired"] = True

    assert says(stored, one["spec"])
    stored["operations"]["create"]["request"]["path"] = "/elsewhere"
    assert not says(stored, one["spec"])
    assert not says({**one["spec"], "errors": []}, one["spec"])
    assert not says(None, one["spec"])


def test_the_version_of_a_shipped_object_is_that_of_what_it_says() -> None:
    """The same after its metadata changed, another after its spec did."""
    one = next(iter(shipped()))
    changed = {**one, "spec": {**one["spec"], "description": "Something else."}}

    assert version_of({**one, "metadata": {}}) == version_of(one)
    assert version_of(changed) != version_of(one)
