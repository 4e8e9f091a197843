"""`intops new KIND NAME`: a first draft of a manifest, from a sample payload and from what the catalogue knows."""

import argparse
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, cast

from intops_api.connector import ConnectorSpec
from intops_api.connector_class import ConnectorClassSpec
from intops_cli.exits import OK, REFUSED, USAGE
from intops_cli.manifest_text import text_of
from intops_cli.manifests import ManifestError
from intops_cli.output import say
from intops_cli.project import lay_over, shipped_resources
from intops_core.defaults import whole_pattern
from intops_core.drafts.connector import ConnectorWanted, connector
from intops_core.drafts.connector_class import connector_class
from intops_core.drafts.draft import Document, plain
from intops_core.drafts.flow import Bound, FlowWanted, flow
from intops_core.drafts.from_model import mapping_from_model, object_written
from intops_core.drafts.marks import MARK, marks
from intops_core.drafts.samples import MAX_BYTES, SampleError, Samples, read_payload, samples_of
from intops_core.drafts.to_model import MappingWanted, mapping_to_model
from intops_core.ends import Model, find_model
from intops_core.findings import suggestion
from intops_core.metadata import metadata_breaches
from intops_core.records import items_path
from intops_core.resources import Resources
from intops_core.typed import Record

HELP = "write a first draft of a manifest, from a sample payload"
EPILOG = f"""\
examples:
  intops new connector-class acme --from-sample alert.json --from-sample recovery.json -o acme
  intops new connector acme --class acme -o acme
  intops new mapping acme-to-event --from-sample alert.json --class acme --model event -o acme
  intops new mapping incident-to-desk --from-model incident --class servicenow
  intops new connector desk --class request-tracker --endpoint https://desk.example.com -o acme
  intops new flow acme-to-desk --pattern event-to-incident --source acme --target desk -o acme

What could not be guessed says {MARK} in the draft, and `intops validate` lists it. Tokens, passwords and mail
addresses of a sample are masked. Without -o the draft is printed; a file that is there is never written over without
--force. Classes, Connectors and Mappings of your own are looked for in the folder of -o, or of --dir.

exit codes: 0 drafted, 1 a name is not known or a file is there already, 2 wrong use or no sample"""

_SUFFIXES: Final = (".yaml", ".yml")
_STDIN: Final = "-"


class _NotKnownError(Exception):
    """Something that was named does not exist; the text says what does."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of the command."""
    parser.add_argument("kind", choices=tuple(_DRAFTS), help="what to draft")
    parser.add_argument("name", help="name of the object")
    parser.add_argument(
        "--from-sample", type=Path, action="append", default=[], metavar="FILE",
        help="payload that the tool sends, as JSON (- reads standard input); several are compared",
    )  # fmt: skip
    parser.add_argument(
        "--class", dest="class_", metavar="CLASS", help="ConnectorClass of the system"
    )
    parser.add_argument(
        "--object", help="object of the class (default: the one that it sends, or makes)"
    )
    parser.add_argument("--model", help="model to which a Mapping leads (default: event)")
    parser.add_argument(
        "--from-model", metavar="MODEL", help="model from which a Mapping leads to the system"
    )
    parser.add_argument(
        "--model-version", default="v1", metavar="VERSION", help="version of the model"
    )
    parser.add_argument(
        "--endpoint", metavar="URL", help="base address of the system of a Connector"
    )
    parser.add_argument("--pattern", default="event-to-incident", help="Pattern of a Flow")
    parser.add_argument(
        "--source", action="append", default=[], metavar="CONNECTOR",
        help="Connector that tells what happens, or CONNECTOR=MAPPING",
    )  # fmt: skip
    parser.add_argument(
        "--target", action="append", default=[], metavar="CONNECTOR",
        help="Connector of the system in which people work, or CONNECTOR=MAPPING",
    )  # fmt: skip
    parser.add_argument("--team", default=MARK, help="team that answers for it")
    parser.add_argument("--contact", default=MARK, help="where that team is reached")
    parser.add_argument(
        "--escalation", default=MARK, help="whom to tell when the team of a Flow does not answer"
    )
    parser.add_argument(
        "--review-by", default=MARK, metavar="DAY", help="day by which a Flow is looked at again"
    )
    parser.add_argument("--dir", type=Path, help="folder with manifests that the draft may name")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="PATH", help="file or folder to write to"
    )
    parser.add_argument("--force", action="store_true", help="write over a file that is there")


def run(given: argparse.Namespace) -> int:
    """Run the command."""
    breaches = list(metadata_breaches({"name": given.name}))
    if breaches:
        say(breaches[0].message)
        return USAGE
    try:
        documents = _DRAFTS[given.kind](given)
    except SampleError as error:
        say(str(error))
        return USAGE
    except _NotKnownError as error:
        say(str(error))
        return REFUSED
    text = text_of(documents)
    if given.output is None:
        sys.stdout.write(text)
        return OK
    return _write(given, text, _open_marks(documents))


def _write(given: argparse.Namespace, text: str, left: int) -> int:
    path: Path = given.output
    file = path if path.suffix in _SUFFIXES else path / f"{given.name}.{given.kind}.yaml"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("w" if given.force else "x", encoding="utf-8") as out:
            out.write(text)
    except FileExistsError:
        say(
            f"{file} is there already, and your changes would be lost; name another with -o, or add --force."
        )
        return REFUSED
    except OSError as error:
        raise ManifestError(f"{file} cannot be written: {error.strerror}.") from None
    lines = "line" if left == 1 else "lines"
    left_over = (
        f"{left} {lines} to fill in ({MARK}); `intops validate` lists them."
        if left
        else "Nothing is left to fill in."
    )
    say(f"Wrote {file}. {left_over}")
    return OK


def _open_marks(documents: Iterable[Document]) -> int:
    return sum(1 for document in documents for _ in marks(plain(document), ""))


def _connector_class(given: argparse.Namespace) -> tuple[Document, ...]:
    return (connector_class(given.name, samples_of(_payloads(given))),)


def _connector(given: argparse.Namespace) -> tuple[Document, ...]:
    _, class_ = _class_of(given, _known(given))
    wanted = ConnectorWanted(given.name, given.class_, given.endpoint, given.team, given.contact)
    return connector(wanted, class_)


def _mapping(given: argparse.Namespace) -> tuple[Document, ...]:
    resources = _known(given)
    name, class_ = _class_of(given, resources)
    if given.from_model is not None:
        if given.model is not None or given.from_sample:
            raise SampleError(
                "--from-model leads from a model to the system, so it takes neither --model nor --from-sample; "
                "leave it out for the way from the system to a model."
            )
        object_ = _object(given, name, class_, object_written(class_))
        wanted = _wanted(given, class_, object_, _model(given.from_model, given, resources))
        return (mapping_from_model(wanted, class_),)
    capture = class_.capture
    object_ = _object(
        given, name, class_, capture.object if capture is not None else next(iter(class_.objects))
    )
    wanted = _wanted(given, class_, object_, _model(given.model or "event", given, resources))
    items = capture.items if capture is not None and capture.object == object_ else None
    return (mapping_to_model(wanted, _samples(given, items)),)


def _wanted(
    given: argparse.Namespace, class_: ConnectorClassSpec, object_: str, model: Model
) -> MappingWanted:
    schema = class_.objects[object_]
    source = Record(schema.fields, open=schema.open)
    return MappingWanted(
        given.name, given.class_, object_, source, model, given.team, given.contact
    )


def _flow(given: argparse.Namespace) -> tuple[Document, ...]:
    resources = _known(given)
    found = resources.get("Pattern", "", given.pattern)
    if found is None:
        hint = suggestion(given.pattern, resources.names("Pattern", ""))
        raise _NotKnownError(f'There is no Pattern "{given.pattern}".{hint}')
    bound = [_bound("source", text, given, resources) for text in given.source]
    bound += [_bound("target", text, given, resources) for text in given.target]
    wanted = FlowWanted(
        given.name, given.pattern, tuple(bound), given.team, given.contact, given.escalation, given.review_by
    )  # fmt: skip
    return (flow(wanted, whole_pattern(found, resources).spec, resources, given.namespace),)


def _bound(role: str, text: str, given: argparse.Namespace, resources: Resources) -> Bound:
    name, _, mapping = text.partition("=")
    known = resources.get("Connector", given.namespace, name)
    class_ = cast("ConnectorSpec", known.spec).class_ if known is not None else None
    return Bound(role, name, class_, mapping or None)


_DRAFTS: Final[dict[str, Callable[[argparse.Namespace], tuple[Document, ...]]]] = {
    "connector-class": _connector_class,
    "connector": _connector,
    "mapping": _mapping,
    "flow": _flow,
}


def _known(given: argparse.Namespace) -> Resources:
    """The shipped catalogue with the manifests of the folder that is written to, or of --dir."""
    resources = shipped_resources()
    folder: Path | None = given.dir
    if folder is None and given.output is not None:
        folder = given.output.parent if given.output.suffix in _SUFFIXES else given.output
        if not any(file for suffix in _SUFFIXES for file in folder.rglob(f"*{suffix}")):
            return resources
    if folder is not None:
        lay_over(folder, resources, namespace=given.namespace)
    return resources


def _class_of(given: argparse.Namespace, resources: Resources) -> tuple[str, ConnectorClassSpec]:
    if given.class_ is None:
        raise SampleError(f"A {given.kind} belongs to a class of systems; name it with --class.")
    found = resources.get("ConnectorClass", "", given.class_)
    if found is None:
        hint = suggestion(given.class_, resources.names("ConnectorClass", ""))
        raise _NotKnownError(
            f'There is no ConnectorClass "{given.class_}" here; name the folder that holds it with --dir, or draft '
            f"it with intops new connector-class.{hint}"
        )
    return given.class_, cast("ConnectorClassSpec", found.spec)


def _object(given: argparse.Namespace, name: str, class_: ConnectorClassSpec, usual: str) -> str:
    wanted: str = given.object or usual
    if wanted not in class_.objects:
        hint = suggestion(wanted, class_.objects)
        raise _NotKnownError(f'ConnectorClass "{name}" has no object "{wanted}".{hint}')
    return wanted


def _model(name: str, given: argparse.Namespace, resources: Resources) -> Model:
    model, breach = find_model(name, given.model_version, resources, "--model")
    if model is None:
        raise _NotKnownError(breach.message if breach is not None else f"There is no model {name}.")
    return model


def _samples(given: argparse.Namespace, items: str | None) -> Samples:
    payloads = _payloads(given)
    if items is None:
        return samples_of(payloads, None)
    if items.strip() == "payload":
        return samples_of(payloads, "")
    path = items_path(items)
    if path is None:
        raise SampleError(
            f"The class finds its messages by an expression ({items}); give a sample that is one message of it, and "
            "--object."
        )
    return samples_of(payloads, path)


def _payloads(given: argparse.Namespace) -> tuple[object, ...]:
    if not given.from_sample:
        raise SampleError(
            f"A {given.kind} is drafted from what the tool sends; save the body of one request and name it with "
            "--from-sample."
        )
    return tuple(read_payload(_bytes(path), str(path)) for path in given.from_sample)


def _bytes(path: Path) -> bytes:
    """The beginning of a file: one byte more than is read tells that it is too large."""
    try:
        if str(path) == _STDIN:
            return sys.stdin.buffer.read(MAX_BYTES + 1)
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise SampleError(f"{path} cannot be read: {error.strerror}.") from None
