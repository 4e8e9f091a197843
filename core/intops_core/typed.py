"""Typed CEL environments: protobuf descriptors made from flat field lists.

Used by `expressions` to check; nothing runs in these environments. Records are protobuf messages
here, while at run time they are plain JSON. Every scalar is nullable. What a field list leaves open
stays open: maps, `any`, open objects, and `number` (JSON writes 1 for 1.0, CEL tells them apart).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, Literal

from cel_expr_python import cel
from google.protobuf import descriptor_pb2, descriptor_pool, struct_pb2, wrappers_pb2

from intops_api.common import FieldSchema
from intops_core.expression_errors import KnownNames
from intops_core.expression_functions import EXTENSIONS, FUNCTIONS
from intops_core.records import join_path, path_parts

VarType = Literal["any", "string", "integer", "number", "boolean", "time", "map", "list"]

_Field = descriptor_pb2.FieldDescriptorProto
_IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_WRAPPERS: Final = {
    "string": ".google.protobuf.StringValue",
    "time": ".google.protobuf.StringValue",
    "integer": ".google.protobuf.Int64Value",
    "boolean": ".google.protobuf.BoolValue",
    "number": ".google.protobuf.Value",
    "any": ".google.protobuf.Value",
}
_SCALARS: Final = {
    "string": _Field.TYPE_STRING,
    "integer": _Field.TYPE_INT64,
    "boolean": _Field.TYPE_BOOL,
}
_VARIABLES: Final[dict[str, cel.Type]] = {
    "any": cel.Type.DYN,
    "string": cel.Type.STRING,
    "time": cel.Type.STRING,
    "integer": cel.Type.INT,
    "number": cel.Type.DYN,
    "boolean": cel.Type.BOOL,
    "map": cel.Type.Map(cel.Type.STRING, cel.Type.DYN),
    "list": cel.Type.List(cel.Type.DYN),
}


@dataclass(frozen=True, slots=True)
class Record:
    """A thing with fields: what a class says of an object, or a model version of a record.

    Attributes:
        fields: Schema of each field by dotted path.
        open: Whether there may be fields that are not listed.
    """

    fields: Mapping[str, FieldSchema]
    open: bool = False

    def schema(self, path: str) -> FieldSchema | None:
        """What is known of one path, or None where the record has no such path.

        What is no path leads nowhere. A path below a map has the type of its values, a path below `any`
        or in an open record is `any`, and a path above listed fields is a map of `any`.
        """
        exact = self.fields.get(path)
        if exact is not None:
            return exact
        parts = _parts(path)
        if not parts:
            return None
        for length in range(len(parts) - 1, 0, -1):
            above = self.fields.get(join_path(parts[:length]))
            if above is None:
                continue
            if above.type == "map":
                nested = length + 1 < len(parts)
                return FieldSchema(type="any" if nested else above.of, personal=above.personal)
            return _ANY if above.type == "any" else None
        if any(name.startswith(f"{path}.") for name in self.fields):
            return FieldSchema(type="map", of="any")
        return _ANY if self.open else None

    def partial(self) -> "Record":
        """The same record where nothing need be filled: what a Mapping adds to a record that is there."""
        lenient = {
            path: schema.model_copy(update={"required": False}) if schema.required else schema
            for path, schema in self.fields.items()
        }
        return Record(lenient, open=self.open)

    def key(self) -> "RecordKey":
        """What the generated type depends on, hashable."""
        return (
            self.open,
            tuple((name, schema.type, schema.of) for name, schema in self.fields.items()),
        )


def _parts(path: str) -> tuple[str, ...]:
    """The segments of a path; none where it is no path, which is told where the fields are judged."""
    try:
        return path_parts(path)
    except ValueError:
        return ()


_ANY: Final = FieldSchema(type="any")
RecordKey = tuple[bool, tuple[tuple[str, str, str], ...]]
VariablesKey = tuple[tuple[str, str | RecordKey], ...]


@dataclass(frozen=True, slots=True)
class TypedEnvironment:
    """One environment that checks, and the names that its errors may suggest."""

    env: cel.Env
    known: KnownNames


def variables_key(variables: Mapping[str, Record | VarType]) -> VariablesKey:
    """Variables in a form that the cache of environments can hash; order does not matter."""
    return tuple(
        (name, kind.key() if isinstance(kind, Record) else kind)
        for name, kind in sorted(variables.items())
    )


# 64: a check uses one environment for each (class object, model) pair; a pool takes about 100 KiB.
@lru_cache(maxsize=64)
def typed_environment(key: VariablesKey) -> TypedEnvironment:
    """The environment in which these variables have these types."""
    builder = _Builder()
    variables = {
        name: _VARIABLES[kind] if isinstance(kind, str) else builder.variable(name, kind)
        for name, kind in key
    }
    pool = descriptor_pool.DescriptorPool()
    for module in (wrappers_pb2, struct_pb2):
        pool.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
    pool.AddSerializedFile(builder.file.SerializeToString())
    env = cel.NewEnv(
        descriptor_pool=pool,
        variables=variables,
        extensions=list(EXTENSIONS),
        functions=list(FUNCTIONS),
    )
    known = KnownNames(frozenset(variables), dict(builder.fields), dict(builder.paths))
    return TypedEnvironment(env, known)


@dataclass(slots=True)
class _Node:
    """One level of a record while its flat paths become a tree; a leaf has no children."""

    type: str = "record"
    of: str = "any"
    children: dict[str, "_Node"] = field(default_factory=dict)


def _tree(key: RecordKey) -> _Node:
    root = _Node()
    # Shorter paths first: a declared map or any stays what it is, whatever is listed below it.
    named = [(_parts(path), kind, of) for path, kind, of in key[1]]
    for parts, kind, of in sorted(named, key=lambda entry: len(entry[0])):
        if not parts:
            continue
        node = root
        for part in parts[:-1]:
            node = node.children.setdefault(part, _Node())
            if node.type != "record":
                break
        else:
            node.children[parts[-1]] = _Node(kind, of)
    return root


def _is_open(node: _Node) -> bool:
    # Names that protobuf cannot have, or two names with one JSON form: such a level stays open.
    names = list(node.children)
    if not all(_IDENTIFIER.fullmatch(name) for name in names):
        return True
    return len({_json_name(name) for name in names}) < len(names)


def _json_name(name: str) -> str:
    return re.sub(r"_+(.?)", lambda match: match[1].upper(), name)


class _Builder:
    """Collects the generated messages of one environment in one protobuf file."""

    def __init__(self) -> None:
        self.file = descriptor_pb2.FileDescriptorProto(
            name="intops/records.proto",
            package="intops",
            syntax="proto2",
            dependency=["google/protobuf/wrappers.proto", "google/protobuf/struct.proto"],
        )
        self.fields: dict[str, tuple[str, ...]] = {}
        self.paths: dict[str, str] = {}

    def variable(self, name: str, key: RecordKey) -> cel.Type:
        root = _tree(key)
        if key[0] or _is_open(root):
            return _VARIABLES["map"]
        return cel.Type(self._message(root, name).removeprefix("."))

    def _message(self, node: _Node, path: str) -> str:
        name = f"Record{len(self.file.message_type)}"
        message = self.file.message_type.add(name=name)
        full_name = f"intops.{name}"
        self.fields[full_name] = tuple(node.children)
        self.paths[full_name] = path
        for number, (child_name, child) in enumerate(node.children.items(), start=1):
            self._field(message, number, child_name, child, f"{path}.{child_name}")
        return f".{full_name}"

    def _field(
        self,
        message: descriptor_pb2.DescriptorProto,
        number: int,
        name: str,
        node: _Node,
        path: str,
    ) -> None:
        entry = message.field.add(name=name, number=number, label=_Field.LABEL_OPTIONAL)
        # 19000 to 19999 are reserved in protobuf; a field list has at most 512 entries.
        if node.type == "record":
            of_any = _is_open(node)
            self._type(entry, ".google.protobuf.Struct" if of_any else self._message(node, path))
        elif node.type == "map" and node.of in _SCALARS:
            entry.label = _Field.LABEL_REPEATED
            self._type(entry, self._map_entry(message, number, node.of))
        elif node.type == "map":
            self._type(entry, ".google.protobuf.Struct")
        elif node.type == "list" and node.of in _SCALARS:
            entry.label = _Field.LABEL_REPEATED
            entry.type = _SCALARS[node.of]
        elif node.type == "list":
            self._type(entry, ".google.protobuf.ListValue")
        else:
            self._type(entry, _WRAPPERS[node.type])

    def _map_entry(self, message: descriptor_pb2.DescriptorProto, number: int, of: str) -> str:
        # Named after its field, as protobuf demands of map entries.
        name = _json_name(message.field[number - 1].name)
        nested = message.nested_type.add(name=f"{name[0].upper()}{name[1:]}Entry")
        nested.options.map_entry = True
        nested.field.add(name="key", number=1, type=_Field.TYPE_STRING, label=_Field.LABEL_OPTIONAL)
        nested.field.add(name="value", number=2, type=_SCALARS[of], label=_Field.LABEL_OPTIONAL)
        return f".intops.{message.name}.{nested.name}"

    @staticmethod
    def _type(entry: descriptor_pb2.FieldDescriptorProto, name: str) -> None:
        entry.type = _Field.TYPE_MESSAGE
        entry.type_name = name
