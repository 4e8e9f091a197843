"""Every wrong manifest is refused for its one fault, in its own sentence, and its twin is not.

After a wanted change of a sentence, run `python tests/golden/wrong/test_wrong_golden.py` and read the
difference in sentences.txt.
"""

import re
import sys
from functools import lru_cache
from pathlib import Path

HERE = Path(__file__).resolve().parent
if __name__ == "__main__":
    sys.path.insert(0, str(HERE.parents[1]))

import pytest

from intops_core.resources import Resources
from intops_core.rules import RULES
from support.wrong import SENTENCES, Wrong, denials, sentences, world, wrong_manifests

WRONG = wrong_manifests()

each_wrong = pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.name)


@lru_cache(maxsize=1)
def known() -> Resources:
    return world()


def told(wrong: Wrong) -> str:
    lines = [f"{f.rule} {f.path}\n  {f.message}\n" for f in denials(wrong.manifest, known())]
    return f"{wrong.name}: {''.join(lines)}"


@each_wrong
def test_a_wrong_manifest_is_refused_in_its_own_sentence(wrong: Wrong) -> None:
    """Rule, field and sentence are those that people were promised."""
    assert told(wrong) == sentences()[wrong.name]


@each_wrong
def test_one_fault_is_one_sentence(wrong: Wrong) -> None:
    """Nobody has to find out which of several refusals is the cause of the others."""
    found = denials(wrong.manifest, known())

    assert [(f.rule, f.path, f.message) for f in found][1:] == []
    assert found != []
    assert found[0].path.startswith(("spec", "metadata"))


@each_wrong
def test_the_twin_of_a_wrong_manifest_is_accepted(wrong: Wrong) -> None:
    """What the sentence says to write is enough."""
    assert denials(wrong.twin, known()) == []


def test_there_are_manifests_enough_with_reasons_enough() -> None:
    """Eighty faults, and sixty reasons that differ in more than names and values."""
    reasons = set()
    for wrong in WRONG:
        for finding in denials(wrong.manifest, known()):
            plain = re.sub(r"\"[^\"]*\"|'[^']*'|[0-9]+", "…", finding.message)
            reasons.add((finding.rule, plain))

    assert len(WRONG) >= 80
    assert len(reasons) >= 60


def test_every_built_in_rule_refuses_a_wrong_manifest() -> None:
    """A rule that nobody has seen refuse is not known to work."""
    seen = {f.rule for wrong in WRONG for f in denials(wrong.manifest, known())}

    assert {rule.id for rule in RULES if rule.severity == "deny"} - seen == set()


def test_no_sentence_is_left_without_its_manifest() -> None:
    """sentences.txt holds what is judged and nothing else."""
    assert list(sentences()) == [wrong.name for wrong in WRONG]


if __name__ == "__main__":
    SENTENCES.write_text("".join(told(wrong) for wrong in WRONG), encoding="utf-8")
