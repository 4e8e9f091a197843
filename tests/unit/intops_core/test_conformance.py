"""What decides over severity, and the rules whose details a manifest on its own would not show."""

from collections.abc import Callable

import pytest

from intops_api.flow import ErrorPolicy
from intops_core.conformance import judge
from intops_core.error_classes import BY_NAME, ERROR_CLASSES, effective_policies
from intops_core.facts import gather_flow, published
from intops_core.findings import Finding
from intops_core.planning import plan_flow
from intops_core.rules import BY_ID, RULES
from intops_core.rules.connectors import endpoint_refusal, host_address
from support.conformance import NAMESPACE, Raw, flow_of, parsed, world

Change = tuple[str, str, Callable[[Raw], object]]
FLOW = ("Flow", "alerts-to-helpdesk")
PATTERN = ("Pattern", "event-to-incident")


def flow_findings(*changes: Change, new: bool = True) -> list[Finding]:
    resources = world(*changes)[0]
    return judge(flow_of(resources), resources, new=new)


def undecided(spec: Raw) -> None:
    spec["closure"].pop("onResolved")


def severity_of(rule: str, severity: str) -> Callable[[Raw], object]:
    def change(spec: Raw) -> None:
        for entry in spec["rules"]:
            if entry["id"] == rule:
                entry["severity"] = severity

    return change


def without_rule(rule: str) -> Callable[[Raw], object]:
    return lambda spec: spec.update(rules=[r for r in spec["rules"] if r["id"] != rule])


@pytest.mark.parametrize("severity", ["deny", "warn", "audit"])
def test_the_pattern_decides_how_severe_a_violation_is(severity: str) -> None:
    """A rule that a Pattern lists has the severity that the Pattern says."""
    (found,) = flow_findings((*FLOW, undecided), (*PATTERN, severity_of("E2I-03", severity)))

    assert (found.rule, found.severity) == ("E2I-03", severity)


def test_a_rule_that_the_pattern_leaves_out_is_not_judged() -> None:
    """Rules of other Patterns do not concern a Flow."""
    assert flow_findings((*FLOW, undecided), (*PATTERN, without_rule("E2I-03"))) == []


def test_rules_without_which_nothing_could_run_hold_although_no_pattern_lists_them() -> None:
    """A Flow without a target is refused under any Pattern."""
    found = flow_findings(
        (*FLOW, lambda spec: spec["roles"].pop("target")), (*PATTERN, without_rule("COM-02"))
    )

    assert [(f.rule, f.severity, f.path) for f in found] == [("COM-02", "deny", "spec.roles")]


def test_an_exception_turns_a_violation_into_a_record() -> None:
    """A rule may be lifted for a while; the date is not judged here, because it never refuses."""

    def excused(spec: Raw) -> None:
        undecided(spec)
        spec["exceptions"] = [
            {"rule": "E2I-03", "reason": "r", "approvedBy": "b", "until": "2020-01-01"}
        ]

    (found,) = flow_findings((*FLOW, excused))

    assert (found.rule, found.severity) == ("E2I-03", "audit")


def test_a_pattern_that_is_no_longer_served_refuses_new_flows_only() -> None:
    """Flows that follow it already go on, with a warning."""
    unserved: Change = (*PATTERN, lambda spec: spec.update(served=False))

    assert [f.severity for f in flow_findings(unserved)] == ["deny"]
    assert [f.severity for f in flow_findings(unserved, new=False)] == ["warn"]


def test_everything_that_is_wrong_is_told_at_once() -> None:
    """Nobody has to apply a Flow again and again to learn of the next mistake."""

    def careless(spec: Raw) -> None:
        undecided(spec)
        spec["roles"]["sources"] = spec["roles"].pop("source")
        spec["routes"][0]["when"] = "incident.servce"
        spec["roles"]["target"][0]["mapping"] = "alertmanager-to-event"

    found = {f.rule for f in flow_findings((*FLOW, careless))}

    assert found >= {"COM-02", "COM-04", "COM-15", "E2I-03"}


def test_a_source_without_credentials_is_refused_because_nobody_could_prove_who_sends() -> None:
    """S-01: Capture is always authenticated."""
    found = flow_findings(("Connector", "alertmanager", lambda spec: spec.pop("credentials")))

    assert [(f.rule, f.path) for f in found] == [("COM-03", "spec.roles.source[0].connector")]


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        pytest.param({"searchable": False}, "cannot be searched reliably", id="not searchable"),
        pytest.param({"maxLength": 64}, "takes 64 characters", id="too short"),
        pytest.param({"maxLength": 99}, "takes 99 characters", id="one too short"),
    ],
)
def test_the_key_must_be_written_where_it_can_be_found_again(schema: Raw, words: str) -> None:
    """A field that cannot be searched, or cuts keys, would make a second ticket some day."""

    def change(spec: Raw) -> None:
        spec["objects"]["ticket"]["fields"]["CustomFields.intops_key"].update(schema)

    found = flow_findings(("ConnectorClass", "request-tracker", change))

    assert [f.rule for f in found] == ["E2I-02"]
    assert words in found[0].message


def test_a_field_of_exactly_the_length_of_a_key_is_long_enough() -> None:
    """Keys have at most 100 characters."""

    def change(spec: Raw) -> None:
        spec["objects"]["ticket"]["fields"]["CustomFields.intops_key"]["maxLength"] = 100

    assert flow_findings(("ConnectorClass", "request-tracker", change)) == []


def test_a_mapping_is_judged_anew_when_the_model_behind_it_changes() -> None:
    """What was judged once is kept, but never beyond a change of what it was judged against."""

    def renamed(spec: Raw) -> None:
        fields = spec["versions"][0]["fields"]
        fields["service2"] = fields.pop("service")

    resources = world()[0]
    mapping = resources.get("Mapping", NAMESPACE, "alertmanager-to-event")
    assert mapping is not None
    assert judge(mapping, resources) == []

    changed = world(("CanonicalModel", "event", renamed))[0]
    found = judge(mapping, changed)

    assert [(f.rule, "service" in f.message) for f in found] == [("COM-15", True)]


METADATA = [
    "http://169.254.169.254/latest",
    "http://2852039166/",
    "http://0xa9fea9fe",
    "http://0xa9.0xfe.0xa9.0xfe",
    "http://0251.0376.0251.0376",
    "http://025177524776",
    "http://169.16689662",
    "http://169.254.43518",
    "http://[::ffff:169.254.169.254]",
    "http://[::ffff:a9fe:a9fe]:80/x",
    "http://[::169.254.169.254]",
    "http://[64:ff9b::a9fe:a9fe]",
    "http://[2002:a9fe:a9fe::1]",
    "http://[fe80::1]",
    "http://[fe80::1%25eth0]",
    "http://[fd00:ec2::254]",
    "http://169.254.169.254.",
    "http://%31%36%39.254.169.254",
    "http://１６９.254.169.254",
    "http://169。254。169。254",
    "http://METADATA.google.internal",
    "http://metadata/",
    "http://168.63.129.16",
    "http://100.100.100.200",
    "http://192.0.0.192",
    "https://kubernetes.default.svc",
    "http://0.0.0.0:9000",
    "http://[::]",
]


@pytest.mark.parametrize("endpoint", METADATA)
def test_no_way_of_writing_it_leads_to_the_platforms_own_credentials(endpoint: str) -> None:
    """S-20, S-21: Link-local and metadata addresses are refused in every form that resolvers take."""
    assert endpoint_refusal(endpoint)


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://desk.example.com/api",
        "http://10.0.0.5:8080",
        "http://192.168.1.1",
        "http://127.0.0.1:8000",
        "http://[2001:db8::1]:443",
        "https://metadata.example.com",
        "https://169.254.169.254.example.com",
        "https://0xdesk.example.com",
        "http://desk",
        "https://bücher.example",
    ],
)
def test_an_ordinary_system_may_be_anywhere_else(endpoint: str) -> None:
    """Private addresses are common for these systems; the worker decides over them when it connects."""
    assert endpoint_refusal(endpoint) == ""


def test_a_number_that_is_no_address_is_a_name() -> None:
    """Too many parts or too large a part mean nothing to a resolver."""
    assert [host_address(host) for host in ("1.2.3.4.5", "256.1.1.1", "4294967296")] == [None] * 3


@pytest.mark.parametrize(
    ("config", "is_secret"),
    [
        pytest.param({"password": "x1"}, True, id="by its name"),
        pytest.param({"deep": {"list": [{"apiToken": "x1"}]}}, True, id="within other settings"),
        pytest.param({"x": "Bearer abcdefgh12"}, True, id="a header"),
        pytest.param({"x": "https://u:p@desk.example.com"}, True, id="within an address"),
        pytest.param({"x": "-----BEGIN PRIVATE KEY-----"}, True, id="a key"),
        pytest.param({"tokenUrl": "https://id.example.com/token"}, False, id="address of tokens"),
        pytest.param({"passwordField": "pw"}, False, id="name of a field"),
        pytest.param({"queue": "Secrets and tokens"}, False, id="words"),
    ],
)
def test_a_credential_in_config_is_refused_and_never_repeated(config: Raw, is_secret: bool) -> None:
    """S-37: The sentence names the field, not the value."""

    def change(spec: Raw) -> None:
        spec["config"] = {"queue": "Incidents", **config}

    resources = world(("Connector", "helpdesk", change))[0]
    connector = resources.get("Connector", NAMESPACE, "helpdesk")
    assert connector is not None

    found = [f for f in judge(connector, resources) if f.rule == "COM-10"]

    assert bool(found) is is_secret
    assert not any(word in f.message for f in found for word in ("x1", "abcdefgh12", "u:p"))


def test_a_token_over_an_unencrypted_connection_is_a_warning() -> None:
    """Many desks stand in a trusted network, so this is said but not refused."""
    resources = world(
        ("Connector", "helpdesk", lambda spec: spec.update(endpoint="http://rt.example.com"))
    )[0]
    connector = resources.get("Connector", NAMESPACE, "helpdesk")
    assert connector is not None

    assert [(f.rule, f.severity) for f in judge(connector, resources)] == [("COM-10", "warn")]


def test_a_pattern_that_extends_another_keeps_its_rules_roles_and_mappings() -> None:
    """Only what is tightened is written down; the rest comes from the Pattern behind it."""
    strict = parsed(
        {
            "apiVersion": "intops.io/v1alpha1",
            "kind": "Pattern",
            "metadata": {"name": "strict"},
            "spec": {
                "description": "As the shipped one, with a decision of our own.",
                "extends": "event-to-incident",
                "engine": "episodes",
                "models": {"in": "event/v1", "out": "incident/v1"},
                "roles": [
                    {
                        "name": "target",
                        "min": 1,
                        "max": 1,
                        "operations": [
                            "create",
                            "update",
                            "lookupByCorrelation",
                            "transition",
                            "comment",
                        ],
                        "mapping": "out",
                    }
                ],
                "defaults": {"closure": {"onResolved": "comment"}},
            },
        }
    )
    resources = world((*FLOW, lambda spec: spec.update(pattern="strict", closure={})))[0]
    resources.add(strict)

    assert judge(strict, resources) == []
    found = plan_flow(flow_of(resources), resources)

    assert found.plan is not None, found.findings
    assert found.plan.closure.on_resolved == "comment"
    assert found.plan.closure.reopen_within == "1h"
    assert found.plan.transform_name == "event-to-incident"


def test_patterns_that_extend_each_other_in_a_circle_are_refused_and_end() -> None:
    """A circle is found, not walked for ever."""

    def circle(spec: Raw) -> None:
        spec["extends"] = "event-to-incident-2"

    resources = world((*PATTERN, circle))[0]
    first = resources.get("Pattern", "", "event-to-incident")
    assert first is not None
    raw = {
        **first.raw,
        "metadata": {"name": "event-to-incident-2"},
        "spec": {**first.raw["spec"], "extends": "event-to-incident"},
    }
    resources.add(parsed(raw))

    found = [f for f in judge(first, resources) if f.path == "spec.extends"]

    assert [f.severity for f in found] == ["deny"]


def test_facts_of_own_rules_have_the_published_shape() -> None:
    """Rules of a Pattern's own rely on these names."""
    resources = world()[0]
    facts = published(gather_flow(flow_of(resources), resources))

    assert set(facts) == {"flow", "spec", "pattern", "roles"}
    assert facts["pattern"] == {
        "name": "event-to-incident",
        "engine": "episodes",
        "in": "event/v1",
        "out": "incident/v1",
    }
    assert facts["roles"]["enricher"] == []
    (source,) = facts["roles"]["source"]
    assert source["capabilities"] == ["capture", "listActive"]
    assert (source["mapping"], source["mappingOf"]) == ("alertmanager-to-event", "Mapping")
    assert "episodeKey" in source["fills"]


def test_every_rule_of_the_list_can_be_explained() -> None:
    """Documentation and the command line are made from the list, so each entry says what it judges."""
    assert len({rule.id for rule in RULES}) == len(RULES)
    for rule in BY_ID.values():
        assert rule.title.endswith(".")
        assert rule.kinds, rule.id


def test_error_policies_are_merged_from_the_class_to_the_flow() -> None:
    """The eighteen classes all have a policy, and the nearest word wins field by field."""
    found = effective_policies(
        {"timeout": ErrorPolicy(max_attempts=9, max_age="2h")},
        {"timeout": ErrorPolicy(max_attempts=5)},
        {"conflict": ErrorPolicy(strategy="review")},
    )

    assert set(found) == set(BY_NAME)
    assert len(ERROR_CLASSES) == 18
    assert found["timeout"].to_wire() == {
        "strategy": "retry",
        "maxAttempts": 5,
        "base": "500ms",
        "cap": "30s",
        "maxAge": "2h",
    }
    assert found["conflict"].strategy == "review"


@pytest.mark.parametrize(
    ("role", "shadow", "words"),
    [
        ("source", "alertmanager-to-event", "compared with itself"),
        (
            "source",
            "incident-to-helpdesk",
            "from model incident/v1 to class request-tracker (ticket)",
        ),
        ("target", "alertmanager-to-event", "the other from model incident/v1"),
        ("notifier", "incident-to-helpdesk", 'No message is mapped for "chat"'),
    ],
)
def test_a_shadow_that_could_not_be_compared_is_refused_with_its_field(
    role: str, shadow: str, words: str
) -> None:
    """Another Mapping, between the same ends, in a role that maps: else a trial would say nothing."""

    def change(spec: Raw) -> None:
        chat = {"name": "chat", "connector": "alertmanager"}
        spec["roles"].setdefault(role, [chat])[0]["shadow"] = shadow

    found = [f for f in flow_findings((*FLOW, change)) if f.path.endswith(".shadow")]

    assert [(f.rule, f.severity, f.path) for f in found] == [
        ("COM-04", "deny", f"spec.roles.{role}[0].shadow")
    ]
    assert words in found[0].message
