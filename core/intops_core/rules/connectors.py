"""What a Connector is judged by: its class's settings, its limits, its secrets and its address.

Used by the registry (COM-10, COM-14) and by conformance.
"""

import ipaddress
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from intops_api.common import FieldSchema
from intops_api.connector import ConnectorSpec
from intops_api.connector_class import ConnectorClassSpec
from intops_core.coercion import CoercionError, coercer, text_of
from intops_core.findings import Breach, Ref, suggestion


@dataclass(frozen=True, slots=True)
class ConnectorFacts:
    """A Connector and its class; None where the class does not exist."""

    ref: Ref
    spec: ConnectorSpec
    class_: ConnectorClassSpec | None


_SECRET_NAME: Final = re.compile(
    r"pass(word|wd|phrase)?$|^pwd$|pwd$|secret$|token$|api[_-]?key$|private[_-]?key$|access[_-]?key$"
    r"|credentials?$|^auth(orization)?$|bearer$",
    re.IGNORECASE,
)
_SECRET_VALUE: Final = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY|^(Bearer|Basic|Token)\s+\S{8,}|^gh[pousr]_\w{20,}|^glpat-[\w-]{16,}"
    r"|^xox[abprs]-[\w-]{10,}|^AKIA[0-9A-Z]{16}$|^eyJ[\w-]{8,}\.eyJ[\w-]{8,}\."
    r"|^[a-z][a-z0-9+.-]*://[^/?#\s]*:[^/?#\s]*@",
    re.IGNORECASE,
)


def keeps_secrets_and_metadata_out(facts: ConnectorFacts) -> Iterator[Breach]:
    """COM-10: credentials only in Secrets; no address of the platform; no credential in clear text."""
    for path, name, value in _texts(facts.spec.config, "spec.config", ""):
        if is_credential(name, value):
            yield Breach(
                path,
                f'"{name}" looks like a credential that is written in clear text, so everybody who may '
                "read Connectors would see it. Put it into the Secret that spec.credentials.secretName "
                "names.",
            )
    endpoint = facts.spec.endpoint
    if endpoint is None:
        return
    trouble = endpoint_refusal(endpoint)
    if trouble:
        yield Breach(
            "spec.endpoint",
            f"The endpoint {trouble}. Requests there could hand out the platform's own credentials. Write "
            "the host name of the system.",
        )
    elif _tells_a_secret_in_clear_text(facts, endpoint):
        yield Breach(
            "spec.endpoint",
            "The endpoint is not encrypted, so everybody on the way could read the credential. Write "
            "https://, unless the network between is trusted.",
            at_most="warn",
        )


def stays_within_documented_limits(facts: ConnectorFacts) -> Iterator[Breach]:
    """COM-14: no more load than the class's system is documented to bear."""
    limits = facts.spec.limits
    if limits is None or facts.class_ is None:
        return
    known = facts.class_.limits
    for field, wanted, most in (
        ("requestsPerSecond", limits.requests_per_second, known.requests_per_second),
        ("concurrency", limits.concurrency, known.concurrency),
    ):
        if wanted is not None and wanted > most:
            source = f" ({known.source})" if known.source else ""
            yield Breach(
                f"spec.limits.{field}",
                f"{field} {wanted:g} is above the limit of class {facts.spec.class_}, {most:g}{source}. The "
                f"system would refuse requests. Write at most {most:g}, or leave it out.",
            )


def settings_fit_the_class(facts: ConnectorFacts) -> Iterator[Breach]:
    """The class's configSchema, endpoint and credentials are honoured."""
    class_, spec = facts.class_, facts.spec
    if class_ is None:
        return
    if class_.endpoint_required and spec.endpoint is None:
        yield Breach(
            "spec.endpoint",
            f"Class {spec.class_} needs the address of its system, without which nothing can be sent. "
            "Write spec.endpoint, such as https://desk.example.com.",
        )
    needed = [key.key for key in class_.credentials if key.required]
    if needed and spec.credentials is None:
        yield Breach(
            "spec.credentials",
            f"Class {spec.class_} needs credentials ({', '.join(needed)}), without which every request "
            "would be refused. Write spec.credentials.secretName, a Secret with these keys.",
        )
    for name in spec.config:
        # A credential is refused as one (COM-10); that no such setting exists would be the lesser word.
        if name not in class_.config_schema and not is_credential(name, spec.config[name]):
            yield Breach(
                f"spec.config.{name}",
                f'Class {spec.class_} has no setting "{name}", so it would do nothing.'
                + suggestion(name, class_.config_schema),
            )
    for name, schema in class_.config_schema.items():
        value = spec.config.get(name)
        if value is None:
            if schema.required and schema.default is None:
                sense = f": {schema.meaning}" if schema.meaning else "."
                yield Breach(
                    "spec.config",
                    f'Class {spec.class_} needs the setting "{name}"{sense} Write spec.config.{name}.',
                )
            continue
        words = value_refusal(value, schema)
        if words:
            yield Breach(f"spec.config.{name}", f'"{name}" {words}')


def value_refusal(value: Any, schema: FieldSchema) -> str:
    """Why a field cannot hold a value, as the rest of a sentence; empty if it can."""
    try:
        result = coercer(schema)(value)
    except CoercionError as error:
        return f"{error}."
    if schema.enum and not schema.discovered:
        for one in result if isinstance(result, list) else [result]:
            if text_of(one) not in schema.enum:
                return f"cannot be {text_of(one)!r}.{suggestion(text_of(one), schema.enum)}"
    if (
        schema.max_length is not None
        and isinstance(result, str)
        and len(result) > schema.max_length
    ):
        return f"takes {schema.max_length} characters and this has {len(result)}; shorten it."
    return ""


def is_credential(name: str, value: Any) -> bool:
    """Whether a text looks like a credential, by its name or by itself."""
    if not isinstance(value, str) or not value:
        return False
    return bool(_SECRET_VALUE.search(value) or _SECRET_NAME.search(name))


def _texts(value: Any, path: str, name: str) -> Iterator[tuple[str, str, str]]:
    if isinstance(value, dict):
        for key, child in value.items():
            yield from _texts(child, f"{path}.{key}", str(key))
    elif isinstance(value, list):
        for index, child in enumerate(value):
            yield from _texts(child, f"{path}[{index}]", name)
    elif isinstance(value, str):
        yield path, name, value


def _tells_a_secret_in_clear_text(facts: ConnectorFacts, endpoint: str) -> bool:
    if facts.class_ is None or facts.class_.auth is None or facts.class_.auth.scheme == "none":
        return False
    address = urlsplit(endpoint)
    host = address.hostname or ""
    near = host in ("localhost", "127.0.0.1", "::1") or host.endswith(
        (".svc", ".svc.cluster.local")
    )
    return address.scheme == "http" and not near


# Where clouds serve credentials of the machine: names, and addresses outside the link-local range
# (Azure, Oracle, Alibaba, AWS over IPv6). The worker refuses them again on every address of a name.
_METADATA_NAMES: Final = frozenset(
    {
        "metadata",
        "metadata.google.internal",
        "metadata.goog",
        "metadata.azure.internal",
        "metadata.tencentyun.com",
        "instance-data",
        "instance-data.ec2.internal",
    }
)
_METADATA_NETWORKS: Final = tuple(
    ipaddress.ip_network(text)
    for text in ("168.63.129.16/32", "192.0.0.192/32", "100.100.100.200/32", "fd00:ec2::/32")
)
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_API_SERVER: Final = re.compile(r"kubernetes(\.default(\.svc(\.cluster\.local)?)?)?")


def endpoint_refusal(endpoint: str) -> str:
    """Why an endpoint must not be used, as the rest of a sentence; empty if it may.

    An address is recognised in every form that resolvers take: one number, hexadecimal, octal, fewer
    than four parts, percent-encoded, full-width, and within IPv6 (mapped, 6to4, NAT64).
    """
    try:
        parts = urlsplit(endpoint)
        host, port = parts.hostname, parts.port
    except ValueError:
        return "is not an address"
    if not host or port == 0:
        return "names no host"
    name = unicodedata.normalize("NFKC", unquote(host)).lower().rstrip(".").replace("。", ".")
    if name in _METADATA_NAMES:
        return "is a metadata service of the platform"
    if _API_SERVER.fullmatch(name):
        return "is the API server of this cluster"
    address = host_address(name)
    if address is None:
        return ""
    if address.is_link_local:
        return "is a link-local address, where metadata services live"
    if any(address.version == n.version and address in n for n in _METADATA_NETWORKS):
        return "is a metadata service of the platform"
    if address.is_multicast or address.is_unspecified:
        return "is no address of one host"
    return ""


def host_address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address that a host part means, unpacked from IPv6; None for a name."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0].strip("[]"))
    except ValueError:
        return _legacy_ipv4(host)
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped:
            return address.ipv4_mapped
        if address.sixtofour:
            return address.sixtofour
        low = int(address) & 0xFFFFFFFF
        if address in _NAT64 or (int(address) >> 32 == 0 and low > 1):
            return ipaddress.IPv4Address(low)
    return address


def _legacy_ipv4(host: str) -> ipaddress.IPv4Address | None:
    """The forms of inet_aton: 1 to 4 parts, each decimal, octal (0…) or hexadecimal (0x…)."""
    parts = host.split(".")
    if len(parts) > 4:
        return None
    numbers: list[int] = []
    for part in parts:
        try:
            if re.fullmatch(r"0x[0-9a-f]*", part):
                numbers.append(int(part[2:] or "0", 16))
            elif re.fullmatch(r"0[0-7]+", part):
                numbers.append(int(part, 8))
            elif re.fullmatch(r"[0-9]+", part):
                numbers.append(int(part))
            else:
                return None
        except ValueError:
            return None
    value = 0
    for number in numbers[:-1]:
        if number > 0xFF:
            return None
        value = value * 256 + number
    room = 5 - len(numbers)
    if numbers[-1] >= 256**room:
        return None
    return ipaddress.IPv4Address(value * 256**room + numbers[-1])
