"""Folders of manifests: what is read, what is left out, and where each field stands."""

from __future__ import annotations

from pathlib import Path

import pytest

from intops_cli.manifests import ManifestError, read_folder
from intops_cli.project import open_project

FLOW = """\
# a comment
apiVersion: intops.io/v1alpha1
kind: Flow
metadata: {name: f}
spec:
  routes:
  - name: a
    when: "true"
  - name: b
"""


def put(root: Path, name: str, text: str) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("spec.routes[0].when", 8), ("spec.routes[1]", 9), ("spec.routes[1].when", 9),
        ("spec.slo.within", 5), ("metadata.name", 4), ("nothing", 2), ("", 2),
    ],
)  # fmt: skip
def test_a_field_is_found_by_its_line(tmp_path: Path, path: str, line: int) -> None:
    """A field that is missing is blamed on what stands around it."""
    (manifest,) = read_folder(put(tmp_path, "flow.yaml", FLOW)).manifests

    assert manifest.line_of(path) == line


def test_cases_samples_and_manifests_of_others_are_left_out(tmp_path: Path) -> None:
    """A folder may hold everything that belongs to an integration."""
    put(tmp_path, "flow.yaml", FLOW + "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n")
    put(tmp_path, "below/more.yml", FLOW.replace("name: f", "name: g"))
    put(tmp_path, "cases/case.yaml", "- name: x\n")
    put(tmp_path, "samples/raw.yaml", "- 1\n")

    names = [m.raw["metadata"]["name"] for m in read_folder(tmp_path).manifests]

    assert sorted(names) == ["f", "g"]


def test_secrets_are_kept_apart_from_manifests(tmp_path: Path) -> None:
    """Both spellings of a Secret are read; what is written as text wins, as in a cluster."""
    secret = (
        "---\napiVersion: v1\nkind: Secret\nmetadata: {name: s}\n"
        "data: {token: b2xk, user: dQ==}\nstringData: {token: new}\n"
    )
    put(tmp_path, "flow.yaml", FLOW + secret)

    folder = read_folder(tmp_path, namespace="itsm")

    assert folder.secrets == {("itsm", "s"): {"token": "new", "user": "u"}}
    assert [m.raw["kind"] for m in folder.manifests] == ["Flow"]
    assert folder.manifests[0].raw["metadata"]["namespace"] == "itsm"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: [1\nb: 2\n", "flow.yaml:2: this is not YAML"),
        ("- 1\n", "flow.yaml:1: a manifest is a map"),
        ("apiVersion: v1\nkind: Pod\nmetadata: {}\n", "holds no manifest of intops.io"),
        ("", "holds no manifest of intops.io"),
        ("a: b\nc: \x00\n", "flow.yaml:2: this is not YAML"),
    ],
    ids=["no YAML", "a list", "nothing of intops", "empty", "control characters"],
)
def test_what_cannot_be_read_is_told_with_file_and_line(
    tmp_path: Path, text: str, says: str
) -> None:
    """A person finds the place without a traceback."""
    put(tmp_path, "flow.yaml", text)

    with pytest.raises(ManifestError) as refused:
        read_folder(tmp_path)

    assert says in str(refused.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("metadata: {name: s}\ndata:\n  token: '!!!'\n", ':5: "token" is not base64'),
        ("metadata: {name: s}\ndata:\n  token: 5\n", ':5: "token" is not base64'),
        ("metadata: {name: s}\ndata: text\n", ":4: data of a Secret is a map"),
        ("metadata: {name: s}\nstringData: [a]\n", ":4: stringData of a Secret is a map"),
        ("metadata: text\n", ":3: a Secret needs metadata.name"),
        ("stringData: {a: b}\n", ":1: a Secret needs metadata.name"),
    ],
    ids=["no base64", "a number", "data is a text", "a list", "metadata is a text", "no name"],
)
def test_a_secret_that_cannot_be_read_is_told_with_its_place(
    tmp_path: Path, text: str, says: str
) -> None:
    """A person finds the line, and the value itself is not repeated."""
    put(tmp_path, "s.yaml", f"apiVersion: v1\nkind: Secret\n{text}")

    with pytest.raises(ManifestError) as refused:
        read_folder(tmp_path)

    assert f"s.yaml{says}" in str(refused.value)
    assert "!!!" not in str(refused.value)


@pytest.mark.parametrize("text", ["", "nothing-here"])
def test_a_folder_that_does_not_exist_is_told(tmp_path: Path, text: str) -> None:
    """An empty folder and no folder are different mistakes."""
    with pytest.raises(ManifestError) as refused:
        read_folder(tmp_path / text)

    assert ("does not exist" in str(refused.value)) is bool(text)


def test_a_file_that_is_no_utf_8_is_told(tmp_path: Path) -> None:
    """Old editors write other encodings."""
    (tmp_path / "flow.yaml").write_bytes(b"a: \xe9\n")

    with pytest.raises(ManifestError, match="UTF-8"):
        read_folder(tmp_path)


@pytest.mark.parametrize("metadata", ["[a]", "{name: [a]}", "{name: {a: 1}}", "7"])
def test_metadata_of_a_wrong_shape_is_a_finding(tmp_path: Path, metadata: str) -> None:
    """It names the field."""
    put(tmp_path, "a.yaml", FLOW.replace("{name: f}", metadata))

    found = open_project(tmp_path, namespace="itsm").findings

    assert any(located.finding.path.startswith("metadata") for located in found)


def test_a_class_with_a_field_that_is_no_path_is_a_finding(tmp_path: Path) -> None:
    """Its expressions are judged once its fields can be read."""
    spec = """{displayName: A, objects: {case: {fields: {"title.": {type: string}}}}, operations: {create: {
      object: case, request: {method: POST, path: /c, body: record}, success: "true"}}}"""
    head = "apiVersion: intops.io/v1alpha1\nkind: ConnectorClass\nmetadata: {name: a}\n"
    put(tmp_path, "a.yaml", f"{head}spec: {spec}\n")

    found = open_project(tmp_path, namespace="itsm").findings

    assert any("is not a path" in located.finding.message for located in found)


def bomb(levels: int) -> str:
    """A Connector of a few hundred bytes that unfolds to nine to the power of `levels` words."""
    lines = ["x0: &x0 [lol, lol, lol]"]
    lines += [f"x{n}: &x{n} [{', '.join([f'*x{n - 1}'] * 9)}]" for n in range(1, levels)]
    return "apiVersion: intops.io/v1alpha1\nkind: Connector\nmetadata: {name: a}\n" + "\n".join(
        lines
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (bomb(12), "aliases unfold to more than 500,000 values"),
        ("a: &a [*a]\n", "aliases unfold to more than 500,000 values"),
        ("a: &a {b: *a}\n", "aliases unfold to more than 500,000 values"),
        ("a: " + "[" * 5000 + "]" * 5000, "nests deeper"),
        ("a: " + "{a: " * 5000 + "}" * 5000, "nests deeper"),
    ],
    ids=["bomb", "list of itself", "map of itself", "deep list", "deep map"],
)
def test_s10_what_unfolds_without_end_is_told_before_it_does(
    tmp_path: Path, text: str, words: str
) -> None:
    """Whoever checks the manifests of strangers in a pipeline keeps its memory."""
    put(tmp_path, "a.yaml", text)

    with pytest.raises(ManifestError, match=words):
        read_folder(tmp_path)


def test_s10_a_few_aliases_are_fine(tmp_path: Path) -> None:
    """People write an owner once and name it again."""
    put(tmp_path, "a.yaml", bomb(4) + "\n")

    assert len(read_folder(tmp_path).manifests) == 1
