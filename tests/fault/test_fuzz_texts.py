"""Random expressions and manifests: each is accepted, or refused with a sentence, within bounds."""

from __future__ import annotations

import copy
import json
import random
import re
import time
from collections import Counter
from pathlib import Path

import pytest
import yaml

from intops_cli.manifests import ManifestError
from intops_cli.project import open_project
from intops_core.expression_forms import IN_DOUBT
from intops_core.expression_values import result
from intops_core.expressions import (
    EvaluationError,
    ExpressionError,
    Program,
    activation,
    compile_expression,
)
from support.fuzz.expressions import NAMES, changed, made, texts
from support.fuzz.values import damaged, mutated
from support.runtime.flows import EXAMPLE, REPOSITORY
from support.runtime.stage import FIRING

pytestmark = pytest.mark.fault

EXPRESSIONS = {"short": 3000, "full": 60_000}
MANIFESTS = {"short": 60, "full": 1200}
_BEYOND_THE_ENGINE = re.compile(r"\\u(0000|d[89a-f])|\d{19}")
LONGEST_S = 5.0
"""More than any expression may take on a machine that stalls; they take milliseconds."""


def test_whatever_an_expression_says_it_is_refused_with_a_sentence_or_ends_within_bounds(
    seed: int, fault_runs: str
) -> None:
    """S-55, S-57: Compiled forms give what the engine gives, and nothing else than the two errors comes out."""
    draw, ends = random.Random(seed), Counter[str]()
    shipped = list(texts())
    for _ in range(EXPRESSIONS[fault_runs]):
        source = (
            made(draw, 4) if draw.random() < 0.5 else changed(draw.choice(shipped), shipped, draw)
        )
        began = time.monotonic()
        try:
            program = compile_expression.__wrapped__(source, NAMES)
        except ExpressionError as error:
            ends["refused" if error.message else "no sentence"] += 1
        else:
            ends[_evaluate(program, draw)] += 1
        assert time.monotonic() - began < LONGEST_S, source[:2000]
    print(ends)
    assert ends["no sentence"] == 0
    assert min(ends["refused"], ends["value"], ends["error"], ends["form"]) > 50


def _evaluate(program: Program, draw: random.Random) -> str:
    """Evaluate over values that are nearly right, in both ways; how it ended."""
    alert = FIRING["alerts"][0]
    names = {
        name: mutated(alert if draw.random() < 0.7 else FIRING, draw) for name in sorted(NAMES)
    }
    names["response"] = {
        "status": draw.choice((200, 404, "x")),
        "body": mutated(alert, draw),
        "headers": {},
    }
    names |= {"now": "2026-11-23T20:23:39Z", "key": "iop1:a", "text": "a"}
    scope = activation(names)
    try:
        program.evaluate(scope)
    except EvaluationError as error:
        end = "error" if error.message else "no sentence"
    else:
        end = "value"
    # The engine ends a text at its first NUL, and refuses half a pair of surrogates and integers beyond 64 bits;
    # a form that only passes them on keeps them as they are.
    if program.form is not None and not _BEYOND_THE_ENGINE.search(json.dumps(names)):
        try:
            by_form = result(program.form(names))
        except IN_DOUBT:
            return end
        assert json.dumps(by_form, sort_keys=True) == json.dumps(
            program.by_engine(activation(names)), sort_keys=True
        ), program.source[:2000]
        return "form"
    return end


def test_whatever_a_manifest_says_validate_accepts_it_or_tells_what_is_wrong(
    seed: int, fault_runs: str, tmp_path: Path
) -> None:
    """S-54: Changed values, shapes and bytes of the examples: findings with a path and a sentence, never a crash."""
    draw, ends = random.Random(seed), Counter[str]()
    files = [
        *EXAMPLE.glob("*.yaml"),
        *(REPOSITORY / "examples/02-alerts-to-roundup").glob("*.yaml"),
        *draw.sample(sorted((REPOSITORY / "examples/invalid").glob("*.yaml")), 20),
    ]
    originals = [file.read_bytes() for file in files]
    place = tmp_path / "changed.yaml"
    for _ in range(MANIFESTS[fault_runs]):
        data = draw.choice(originals)
        if draw.random() < 0.7:
            documents = [copy.deepcopy(one) for one in yaml.safe_load_all(data) if one]
            at = draw.randrange(len(documents))
            documents[at] = mutated(documents[at], draw)
            data = yaml.safe_dump_all(documents).encode("utf-8", "surrogatepass")
        else:
            data = damaged(data, draw)
        place.write_bytes(data)
        try:
            project = open_project(place, namespace="itsm")
        except ManifestError as error:
            ends["unreadable" if str(error).strip() else "no sentence"] += 1
            continue
        assert all(located.sentence() and located.line > 0 for located in project.findings)
        ends["refused" if project.refused else "accepted"] += 1
    print(ends)
    assert ends["no sentence"] == 0
    assert ends["refused"] > 0
