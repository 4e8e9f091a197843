"""Write everything that follows from the models: CRDs, their copies in the chart, reference pages.

Called by `make generate`, and with `--check` by `make check`, from the root of the source tree:

    python -m intops_api.schema.generate [--check] [--root DIR]
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from intops_api import names
from intops_api.kinds import KINDS, Kind
from intops_api.schema.crd import crd
from intops_api.schema.policies import flow_action_policy, rights_policies
from intops_api.schema.reference import conditions_page, index_page, kind_page
from intops_api.schema.structural import SchemaError

CRDS: Final = Path("crds")
CHART: Final = Path("helm/intops/templates")
REFERENCE: Final = Path("docs/reference")

_NOTE: Final = "# Generated from crds/intops_api by `make generate`; edit the models instead.\n"


class _Dumper(yaml.SafeDumper):
    """Plain YAML: no anchors, which people cannot read and some tools do not."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def outputs() -> dict[Path, str]:
    """Every generated file, by its path below the root, with its text.

    Raises:
        SchemaError: a model cannot become a CRD.
    """
    made: dict[Path, str] = {}
    for kind in KINDS:
        manifest = crd(kind)
        made[CRDS / crd_file(kind)] = _NOTE + to_yaml(manifest)
        made[CHART / "crds" / f"{kind.plural}.yaml"] = _chart_crd(manifest)
        made[REFERENCE / f"{kind.singular}.md"] = kind_page(kind)
    made[CHART / "flowaction-policy.yaml"] = _NOTE + _escaped(to_yaml(*flow_action_policy()))
    rights = _escaped(to_yaml(*rights_policies()))
    made[CHART / "rights-policy.yaml"] = (
        f"{_NOTE}{{{{- if .Values.admission.userRights }}}}\n{rights}{{{{- end }}}}\n"
    )
    made[REFERENCE / "kinds.md"] = index_page()
    made[REFERENCE / "conditions.md"] = conditions_page()
    return made


def crd_file(kind: Kind) -> str:
    """Name of a kind's CRD file, as other operators name theirs: GROUP_PLURAL.yaml."""
    return f"{names.GROUP}_{kind.plural}.yaml"


def to_yaml(*documents: Any) -> str:
    """Documents as YAML in the order of their keys."""
    return yaml.dump_all(documents, Dumper=_Dumper, sort_keys=False, width=100, allow_unicode=True)


def _chart_crd(manifest: dict[str, Any]) -> str:
    # Helm deletes what a release no longer has; a deleted CRD takes every object of its kind along.
    kept = {
        **manifest["metadata"],
        "annotations": {"helm.sh/resource-policy": "keep"},
    }
    body = _escaped(to_yaml({**manifest, "metadata": kept}))
    return f"{_NOTE}{{{{- if .Values.crds.install }}}}\n{body}{{{{- end }}}}\n"


def _escaped(text: str) -> str:
    """The same text to Helm, which would take two braces for a template."""
    return text.replace("{{", '{{ "{{" }}')


def stale(root: Path) -> list[Path]:
    """Generated files that are missing, differ from the models, or belong to no kind any more."""
    return _differing(root, outputs())


def _differing(root: Path, wanted: dict[Path, str]) -> list[Path]:
    differing = [
        path
        for path, text in wanted.items()
        if not (root / path).is_file() or (root / path).read_text(encoding="utf-8") != text
    ]
    return sorted({*differing, *(path for path in _present(root) if path not in wanted)})


def _present(root: Path) -> list[Path]:
    found = [*(root / CRDS).glob(f"{names.GROUP}_*.yaml"), *(root / CHART / "crds").glob("*.yaml")]
    return [path.relative_to(root) for path in found]


def write(root: Path) -> list[Path]:
    """Write what differs and delete what belongs to no kind. Returns what was touched."""
    wanted = outputs()
    touched = _differing(root, wanted)
    for path in touched:
        if path not in wanted:
            (root / path).unlink()
            continue
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(wanted[path], encoding="utf-8")
    return touched


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command. Returns its exit code: 1 if `--check` found stale files or a model is wrong."""
    parser = argparse.ArgumentParser(prog="python -m intops_api.schema.generate")
    parser.add_argument("--check", action="store_true", help="write nothing, fail if stale")
    parser.add_argument("--root", type=Path, default=Path(), help="root of the source tree")
    options = parser.parse_args(arguments)
    if not (options.root / CRDS / "intops_api").is_dir():
        print(
            f"{options.root.resolve()} is not the root of the source tree; use --root",
            file=sys.stderr,
        )
        return 1
    try:
        found = stale(options.root) if options.check else write(options.root)
    except SchemaError as wrong:
        print(wrong, file=sys.stderr)
        return 1
    if options.check and found:
        listed = ", ".join(str(path) for path in found)
        print(
            f"{listed}: not what the models say; run `make generate` and commit it.",
            file=sys.stderr,
        )
        return 1
    for path in found:
        print(f"wrote {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
