"""What a change of one object breaks, and what an acceptance of it covers."""

from __future__ import annotations

import copy
from collections.abc import Callable

from intops_core.breaking import Broken, broken_flows
from intops_core.findings import Ref
from intops_core.impact import impact
from intops_core.resources import Resources
from support.conformance import NAMESPACE, Raw, flow_of, load, world

FLOW = Ref("Flow", NAMESPACE, "alerts-to-helpdesk")


def no_service(spec: Raw) -> None:
    del spec["versions"][0]["fields"]["service"]


MODEL = Ref("CanonicalModel", "", "event")


def two_flows(*changes: tuple[str, str, Callable[[Raw], object]]) -> Resources:
    """The example with its Flow a second time."""
    resources, _ = world(*changes)
    second = copy.deepcopy(flow_of(resources).raw)
    second["metadata"]["name"] = "second"
    resources.add(load([second])[1][0])
    return resources


def broken(*, after: Resources | None = None, flows: int = 2, judged: int = 9) -> Broken:
    """What taking `service` from the model breaks, where only so many Flows can be judged."""
    users = [FLOW, Ref("Flow", NAMESPACE, "second")][:flows]
    left = iter([True] * judged)
    return broken_flows(
        MODEL,
        users,
        two_flows(),
        after or two_flows(("CanonicalModel", "event", no_service)),
        goes_on=lambda: next(left, False),
    )


def test_the_flows_of_one_object_break_as_impact_says() -> None:
    """Admission and the command line cannot differ: they are judged by the same function."""
    found = broken()

    told = impact(two_flows(), two_flows(("CanonicalModel", "event", no_service)))
    assert found.flows == told.flows
    assert [one.verdict for one in found.flows] == ["breaks", "breaks"]
    assert found.unjudged == 0


def test_an_acceptance_is_of_one_change_and_of_the_flows_that_were_shown() -> None:
    """The same change is the same hash; one more Flow, or another change, is another."""

    def more_gone(spec: Raw) -> None:
        no_service(spec)
        del spec["versions"][0]["fields"]["title"]

    other = broken(after=two_flows(("CanonicalModel", "event", more_gone)))

    assert broken().hash == broken().hash
    assert len({broken().hash, broken(flows=1).hash, other.hash}) == 3


def test_flows_without_time_are_counted_and_accepted_with_the_rest() -> None:
    """The hash does not depend on how far the time went, so an acceptance holds at the next try."""
    one, none, whole = broken(judged=1), broken(judged=0), broken()

    assert (len(one.flows), one.unjudged) == (1, 1)
    assert (none.flows, none.unjudged) == ((), 2)
    assert one.hash == none.hash
    assert one.hash == whole.hash  # all of them break


def test_who_accepted_it_for_all_users_has_accepted_it_for_those_that_break() -> None:
    """A first try without time shows the hash of all; a second one finds that only some of them break."""

    def tried(judged: int) -> Broken:
        left = iter([True] * judged)
        users = [FLOW, Ref("Flow", NAMESPACE, "second"), Ref("Flow", NAMESPACE, "third")]
        after = two_flows(("CanonicalModel", "event", no_service))
        return broken_flows(MODEL, users, two_flows(), after, goes_on=lambda: next(left, False))

    hasty, thorough = tried(0), tried(9)

    assert len(thorough.flows) == 2
    assert thorough.accepted_by({hasty.hash})
    assert thorough.accepted_by({thorough.hash})
    assert not thorough.accepted_by({broken(flows=1).hash})


def test_a_change_that_breaks_an_edition_in_use_refuses_although_every_flow_keeps_its_plan() -> (
    None
):
    """Records of one thing would be two; no Mapping can see that."""

    def another_identity(spec: Raw) -> None:
        spec["versions"][0]["identity"] = ["identityKey"]

    changed = two_flows(("CanonicalModel", "event", another_identity))
    found, hasty = broken(after=changed), broken(after=changed, judged=1)

    assert hasty.refusing == found.refusing  # one Flow that uses the edition is enough
    assert found.flows == ()
    assert [one.path for one in found.refusing] == ["spec.versions[0].identity"]
    assert found.hash != broken(after=two_flows(), flows=1).hash
