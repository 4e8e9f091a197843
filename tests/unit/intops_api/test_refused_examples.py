"""examples/invalid shows every refusal once, and beside each what would have been right."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from intops_api.connector import ENDPOINT_HOLDS_CREDENTIALS
from intops_api.kinds import BY_NAME, KINDS
from intops_api.rules import RULES, judgeable, rules_of
from intops_api.rules.rule import CelRule
from intops_core.expressions import activation, compile_expression

INVALID = Path(__file__).resolve().parents[3] / "examples" / "invalid"
FILES = sorted(INVALID.glob("*.yaml"))
CHANGED_LINES = 6
"""At most so many lines differ between an example and its twin: one fault each, no rewrite."""

each_file = pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)


def first_line(file: Path) -> tuple[str, str]:
    """Who refuses an example, and a part of what is said."""
    head = file.read_text(encoding="utf-8").splitlines()[0]
    mark, who, text = head.split(": ", 2)
    assert mark == "# refused"
    return who, text


def manifest(file: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    return loaded


def one_object_rules() -> list[CelRule]:
    every = [rule for kind in KINDS for rule in kind.rules]
    every += [rule for model in RULES for rule in rules_of(model)]
    return [rule for rule in every if not rule.compares_with_before]


@pytest.mark.parametrize("rule", one_object_rules(), ids=lambda rule: rule.message[:60])
def test_every_rule_has_an_example_that_breaks_it(rule: CelRule) -> None:
    """A refusal that nobody has seen is not known to work."""
    assert [file.stem for file in FILES if first_line(file)[1] in rule.message] != []


@each_file
def test_an_invalid_example_says_who_refuses_it(file: Path) -> None:
    """The first line tells the reader what to expect, and who says so."""
    who, text = first_line(file)

    assert who in {"schema", "admission"}
    assert text.strip() == text != ""


@each_file
def test_an_invalid_example_differs_from_its_twin_by_one_fault(file: Path) -> None:
    """The corrected twin shows the repair and nothing else."""
    twin = (file.parent / "corrected" / file.name).read_text(encoding="utf-8").splitlines()
    wrong = file.read_text(encoding="utf-8").splitlines()[1:]
    changed = [line for line in difflib.ndiff(wrong, twin) if line[0] in "+-"]

    assert 0 < len(changed) <= CHANGED_LINES


def test_no_corrected_twin_is_left_without_its_example() -> None:
    """Every corrected file repairs something."""
    assert {file.name for file in (INVALID / "corrected").iterdir()} == {f.name for f in FILES}


@each_file
def test_a_corrected_twin_is_a_valid_object(file: Path) -> None:
    """The models take the twin."""
    twin = manifest(file.parent / "corrected" / file.name)

    BY_NAME[twin["kind"]].spec.model_validate(twin["spec"])


@pytest.mark.parametrize("rule", one_object_rules(), ids=lambda rule: rule.message[:60])
def test_a_refusal_is_one_sentence_with_a_way_out(rule: CelRule) -> None:
    """Each says what is wrong and why, and after a semicolon what to write."""
    assert rule.message.endswith(".")
    assert "; " in rule.message
    assert rule.message[0].isupper() or rule.message[0].islower()


def test_an_endpoint_with_a_password_is_refused_without_repeating_it() -> None:
    """S-37: The model refuses it too, and its sentence does not show the password."""
    wrong = manifest(INVALID / "connector-password-in-endpoint.yaml")

    with pytest.raises(ValidationError) as refused:
        BY_NAME["Connector"].spec.model_validate(wrong["spec"])

    (error,) = refused.value.errors(include_input=False, include_context=False)
    assert "hunter2" not in str(error)
    assert "The endpoint holds a user name or password" in error["msg"]


def test_rules_are_found_wherever_their_model_is_used() -> None:
    """A rule about the end of a Mapping also holds for the Mappings that a class carries."""
    body = manifest(INVALID / "corrected" / "mapping-end-is-both.yaml")["spec"]
    del body["owner"]
    shipped = manifest(INVALID / "corrected" / "class-bearer-without-key.yaml")["spec"]
    spec = BY_NAME["ConnectorClass"].spec.model_validate({**shipped, "mappings": {"hook": body}})

    paths = {path for path, _, _ in judgeable(spec, "spec")}

    assert {"spec.mappings.hook.from", "spec.mappings.hook.to", "spec.auth.scheme"} <= paths


def broken(kind: str, spec: dict[str, Any]) -> list[str]:
    """Messages of the rules that a spec breaks, judged without an API server."""
    model = BY_NAME[kind].spec.model_validate(spec)
    return [
        rule.message
        for _, rule, own in judgeable(model, "spec")
        if compile_expression(rule.rule, frozenset({"self"})).evaluate(activation({"self": own}))
        is not True
    ]


@each_file
def test_rules_mean_the_same_without_an_api_server(file: Path) -> None:
    """The expressions judge an example and its twin here as the API server does."""
    wrong, twin = manifest(file), manifest(file.parent / "corrected" / file.name)
    _, text = first_line(file)
    known = {rule.message for rule in one_object_rules() if text in rule.message}
    on_root = {rule.message for kind in KINDS for rule in kind.rules}

    assert broken(twin["kind"], twin["spec"]) == []
    # What the models refuse first, and what is about the name, is not judged below the spec.
    if known - on_root and known != {ENDPOINT_HOLDS_CREDENTIALS}:
        assert set(broken(wrong["kind"], wrong["spec"])) >= known
