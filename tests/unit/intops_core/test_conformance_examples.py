"""The manifests of examples/invalid that admission refuses, and their corrected twins."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from intops_core.conformance import judge
from intops_core.findings import SCHEMA
from intops_core.resources import Resource, parse_resource
from support.conformance import REPOSITORY, catalogue_and_example, read, world

INVALID = REPOSITORY / "examples" / "invalid"
HEAD = "# refused: admission: "


def admission_examples() -> Iterator[tuple[Path, str, str]]:
    for file in sorted(INVALID.glob("*.yaml")):
        first = file.read_text(encoding="utf-8").splitlines()[0]
        if first.startswith(HEAD):
            rule, _, words = first.removeprefix(HEAD).partition(": ")
            yield file, rule, words


EXAMPLES = list(admission_examples())


@pytest.mark.parametrize(
    ("file", "rule", "words"), [pytest.param(*e, id=e[0].stem) for e in EXAMPLES]
)
def test_what_admission_refuses_is_refused_by_its_rule_with_its_sentence(
    file: Path, rule: str, words: str
) -> None:
    """Each invalid example breaks the rule that it names, and nothing that its first line hides."""
    parsed = parse_resource(read(file)[0])
    assert isinstance(parsed, Resource), parsed

    denials = [f for f in judge(parsed, catalogue_and_example()) if f.severity == "deny"]

    assert [f for f in denials if f.rule == rule and words in f.message], denials
    assert all(f.path.startswith(("spec", "metadata")) for f in denials)


@pytest.mark.parametrize(
    "file", [pytest.param(file, id=file.stem) for file in sorted(INVALID.glob("corrected/*.yaml"))]
)
def test_the_corrected_twin_of_every_invalid_example_is_accepted(file: Path) -> None:
    """What the message of a refusal tells to write is then accepted, also for those of the schema."""
    (raw,) = read(file)
    parsed = parse_resource(raw)
    assert isinstance(parsed, Resource), parsed

    assert [f for f in judge(parsed, catalogue_and_example()) if f.severity == "deny"] == []
    assert (INVALID / file.name).exists()


@pytest.mark.parametrize(
    "file",
    [
        pytest.param(file, id=file.stem)
        for file in sorted(INVALID.glob("*.yaml"))
        if file.read_text(encoding="utf-8").startswith("# refused: schema: ")
        and file.stem != "action-in-another-name"  # needs the user of the request
    ],
)
def test_what_the_schema_refuses_is_refused_without_a_cluster_too(file: Path) -> None:
    """The command line refuses what an API server refuses by CRD schema and CEL."""
    parsed = parse_resource(read(file)[0])
    findings = parsed if isinstance(parsed, list) else judge(parsed, catalogue_and_example())

    assert [f for f in findings if f.rule == SCHEMA and f.severity == "deny"]


def test_the_shipped_catalogue_and_the_first_example_break_no_rule() -> None:
    """Nothing that is shipped is found fault with, not even by a warning."""
    resources, all_of_them = world()

    assert [f for r in all_of_them for f in judge(r, resources)] == []
