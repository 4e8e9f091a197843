"""What the test of a Connector says about each result: the level, what came back, and what to do."""

from __future__ import annotations

from typing import Any

import pytest

from intops_api.connector_class import ClassLimits, CredentialKey
from intops_api.mapping import MappingBody
from intops_api.self_test import Discovered, Look, Right
from intops_core import connector_trials as trials
from intops_core.connector_trials import Check, Reply, Secret
from intops_core.sent_values import Instance, compared, sent_by, texts

KEYS = [
    CredentialKey(key="username", description="Name of the user."),
    CredentialKey(key="password", description="Password of the user."),
]
ASKED = "GET /api/me"
MAY = Right(
    name="Create", operations=["create", "update"], granted="true", remedy="Give the user Create."
)


def replied(error_class: str = "", **more: Any) -> Reply:
    """A reply of this class."""
    return Reply(ASKED, error_class, **more)


def login(reply: Reply) -> Check:
    """What is said of it."""
    return trials.login(reply, "desk-user", None)


RESULTS = [
    (trials.address("desk", ["10.0.0.1"]), "ok", "10.0.0.1", ""),
    (trials.address("desk", [], "dns", "the name desk does not resolve"), "fail", "resolve", "DNS"),
    (trials.address("desk", [], "blocked", "not called"), "fail", "not called", "refuses"),
    (trials.address("desk", [], "refused", "refuses connections"), "fail", "refuses", "listens"),
    (trials.address("desk", [], "connect", "cannot be reached"), "fail", "reached", "firewall"),
    (trials.tls("http://desk", "", None, own_authority=None), "warn", "http", "https://"),
    (trials.tls("https://desk", "", 90.0, own_authority=None), "ok", "90 days", ""),
    (trials.tls("https://desk", "", 3.0, own_authority=None), "warn", "3 days", "Renew"),
    (trials.tls("https://desk", "", -1.0, own_authority=None), "warn", "0 days", "Renew"),
    (trials.tls("https://desk", "TLS failed", None, own_authority=None), "fail", "TLS", "ca.crt"),
    (trials.tls("https://desk", "TLS failed", None, own_authority="ca"), "fail", "TLS", '"ca"'),
    (trials.credentials(Secret("", "here"), []), "ok", "needs none", ""),
    (trials.credentials(Secret("", "here"), KEYS), "fail", "names none", "username, password"),
    (trials.credentials(Secret("s", "here"), KEYS), "fail", "not there", "username, password"),
    (
        trials.credentials(Secret("s", "here", frozenset({"username"})), KEYS),
        "fail", "missing: password", "Add password: Password of the user.",
    ),
    (
        trials.credentials(Secret("s", "here", frozenset({"username", "password"})), KEYS),
        "ok", "password, username", "",
    ),
    (trials.credentials(Secret("s", "here", unread="no right"), KEYS), "warn", "no right", "read"),
    (login(replied(status=200)), "ok", "HTTP 200", ""),
    (trials.login(replied(status=200), "s", "jane"), "ok", '"jane"', ""),
    (login(replied("authDenied", words="HTTP 401", status=401)), "fail", "401", '"desk-user"'),
    (login(replied("authExpired", words="expired")), "fail", "expired", '"desk-user"'),
    (login(replied("forbidden", words="HTTP 403")), "fail", "403", "rights"),
    (login(replied("policyDenied", rule="credential:origin")), "fail", "policy", "allowedOrigins"),
    (login(replied("policyDenied", rule="transport:unsendable")), "fail", "policy", "worker"),
    (login(replied("rateLimited", words="HTTP 429")), "warn", "429", "later"),
    (login(replied("notFound", words="HTTP 404")), "fail", "404", "spec.endpoint"),
    (login(replied("timeout", words="no answer in time")), "fail", "in time", "silent"),
    (
        login(replied("destinationDown", status=200, is_page=True)),
        "fail", "a page for people", "browser",
    ),
    (login(replied("destinationDown", words="HTTP 500")), "fail", "500", "not well"),
    (login(replied("transientNetwork", words="broke off")), "fail", "broke off", "not well"),
    (login(replied("schemaDrift", words="HTTP 200")), "fail", "200", "spec.class"),
    (trials.right(MAY, replied(), granted=True, offered={"create"}), "ok", "allowed", ""),
    (
        trials.right(MAY, replied(), granted=False, offered={"create"}),
        "fail", "not allowed; create need it", "Give the user Create.",
    ),
    (trials.right(MAY, replied(), granted=None, offered={"create"}), "warn", "not tell", "create"),
    (
        trials.right(MAY, replied("forbidden", words="HTTP 403"), granted=None, offered={"create"}),
        "fail", "403", "Give the user Create.",
    ),
    (
        trials.right(MAY, replied("timeout", words="late"), granted=None, offered={"create"}),
        "warn", "late", "create",
    ),
    (trials.unread_discovery("states", replied("forbidden", words="403")), "warn", "403", "compar"),
    (trials.clock(ASKED, None), "skip", "no date", ""),
    (trials.clock(ASKED, -29.0), "ok", "29 s apart", ""),
    (trials.clock(ASKED, 31.0), "warn", "31 s ahead of", "NTP"),
    (trials.clock(ASKED, -600.0), "fail", "10 min behind", "NTP"),
    (trials.limits({}, ClassLimits()), "ok", "tells none; intops sends at most 50 a second", ""),
    (trials.limits({"ratelimit-remaining": "9"}, ClassLimits()), "ok", "ratelimit-remaining: 9", ""),
    (trials.limits({"x-ratelimit-remaining": "0"}, ClassLimits()), "warn", ": 0", "spec.limits"),
    (trials.limits({"retry-after": "7"}, ClassLimits()), "warn", "retry-after: 7", "spec.limits"),
]  # fmt: skip


@pytest.mark.parametrize(("check", "level", "found", "todo"), RESULTS)
def test_each_result_has_its_level_and_says_what_to_do(
    check: Check, level: str, found: str, todo: str
) -> None:
    """What is well asks for nothing; what is not says what to do."""
    assert check.level == level
    assert found in check.found
    assert todo in check.todo
    assert bool(check.todo) == (check.level in ("warn", "fail"))


def test_only_a_failure_makes_the_answer_no() -> None:
    """Warnings and steps that were not taken do not."""
    ok, skip = trials.clock(ASKED, 0.0), trials.skipped("login", "why")

    assert trials.passed([ok, skip, trials.clock(ASKED, 31.0)])
    assert not trials.passed([ok, trials.clock(ASKED, 600.0)])


def mapping(**more: Any) -> MappingBody:
    """A Mapping to the object `issue`."""
    rules: list[dict[str, Any]] = [
        {"to": "title", "from": "title", "meaning": "The headline."},
        {
            "to": "state", "from": "state", "values": {"new": "Open", "done": "Closed"},
            "onUnmapped": "default", "default": "Open", "meaning": "Where the work stands.",
        },
        {"to": "rank", "cel": "incident.rank", "meaning": "What is first."},
        {"to": "custom.floor", "from": "floor", "meaning": "Where people go."},
    ]  # fmt: skip
    return MappingBody.model_validate(
        {
            "from": {"model": "incident", "version": "v1"},
            "to": {"class": "desk", "object": "issue"},
            "fields": rules,
            "examples": [{"name": "one", "input": {}, "output": {"rank": 7.0, "title": "x"}}],
            **more,
        }
    )


SENT = sent_by("to-desk", mapping())
STATES = Discovered(
    name="states", object="issue", read=Look(path="/states"), values={"state": "x"},
    keys={"custom": "x"}, required="x",
)  # fmt: skip


def compare(**more: Any) -> list[Check]:
    """What is said where the instance has this."""
    has: dict[str, Any] = {
        "values": {"state": ["Open", "Closed"]}, "keys": {"custom": ["floor"]}, "required": ["title"],
    }  # fmt: skip
    return compared(ASKED, STATES, Instance(**{**has, **more}), [SENT])


def test_what_a_mapping_sends_is_known_from_tables_defaults_and_examples() -> None:
    """An expression alone tells nothing."""
    assert SENT.paths == ("title", "state", "rank", "custom.floor")
    assert SENT.values == {"state": ("Open", "Closed"), "rank": ("7",), "title": ("x",)}
    assert texts(["a", 1, 2.0, True, None]) == ["a", "1", "2", "true"]
    assert texts("a") is None


@pytest.mark.parametrize(
    ("has", "level", "words"),
    [
        ({}, "ok", 'fits what Mapping "to-desk" sends'),
        ({"values": {"state": ["Open", "Done"]}}, "fail", 'sends state "Closed"'),
        ({"keys": {"custom": []}}, "fail", "sends custom.floor"),
        ({"required": ["title", "owner"]}, "fail", "demands owner"),
        ({"required": ["custom.floor", "custom"]}, "ok", "fits"),
        ({"values": {"state": None}}, "warn", "does not tell state"),
        ({"required": None}, "warn", "does not tell required fields"),
    ],
)
def test_what_an_instance_has_is_compared_with_what_is_sent(
    has: dict[str, Any], level: str, words: str
) -> None:
    """Each misfit names the Mapping and the field."""
    (check,) = compare(**has)

    assert check.level == level
    assert words in check.found


def test_where_no_mapping_writes_the_object_nothing_is_compared() -> None:
    """That is said, and fails nothing."""
    (check,) = compared(ASKED, STATES, Instance({"state": []}, {"custom": []}, ["a"]), [])

    assert check.level == "ok"
    assert "nothing was compared" in check.found
