"""What a Connector and a ConnectorClass can be judged by alone.

Read by this package only.
"""

from collections.abc import Mapping
from typing import Final

from pydantic import BaseModel

from intops_api.connector import (
    ENDPOINT_CREDENTIALS,
    ENDPOINT_HOLDS_CREDENTIALS,
    ConnectorSpec,
)
from intops_api.connector_class import (
    Auth,
    Capture,
    ConnectorClassSpec,
    Idempotency,
    OAuth2,
    Paginate,
    Request,
    Verify,
)
from intops_api.rules.rule import CelRule, immutable


def _needs(scheme: str, *fields: str) -> str:
    """CEL: where `scheme` has this value, these fields are there."""
    return f"self.scheme != '{scheme}' || ({' && '.join(f'has(self.{name})' for name in fields)})"


_DECLARED = "has(self.credentials) && self.credentials.exists(c, c.key == {0})"


def _credential_is_declared(owner: str, field: str) -> str:
    name = f"{owner}.{field}"
    return f"(!has({name}) || ({_DECLARED.format(name)}))"


# The worker refuses these addresses whatever name leads there; here the plain cases get a sentence.
_METADATA_HOSTS: Final = (
    r"169\\.254\\.|100\\.100\\.100\\.200|168\\.63\\.129\\.16|192\\.0\\.0\\.192|metadata(\\.google\\.internal)?([:/]|$)|"
    r"[0-9]+([:/]|$)|0x[0-9a-f.x]+([:/]|$)|\\[fe[89ab]|\\[fd00:ec2:|\\[::ffff:"
)

_CONNECTOR: Final = (
    CelRule(
        immutable("class"),
        "The class of a Connector cannot be changed, because Flows and Mappings are written for it; "
        "make a new Connector of the other class and let the Flows name it.",
        ".class",
    ),
    CelRule(
        f"!has(self.endpoint) || !self.endpoint.matches('{ENDPOINT_CREDENTIALS}')",
        ENDPOINT_HOLDS_CREDENTIALS,
        ".endpoint",
    ),
    CelRule(
        "!has(self.endpoint) || !self.endpoint.matches('[?#]')",
        "The endpoint is a base address to which paths are added, so it has no query and no fragment; "
        "write the address up to the path, such as https://desk.example.com/api.",
        ".endpoint",
    ),
    CelRule(
        f"!has(self.endpoint) || !self.endpoint.lowerAscii().matches('^https?://({_METADATA_HOSTS})')",
        "The endpoint is a link-local or metadata address, which would hand out the cloud's own "
        "credentials; write the host name of the system.",
        ".endpoint",
    ),
)

_AUTH: Final = (
    CelRule(
        _needs("bearer", "key"),
        "Scheme bearer sends a token, but no key of the Secret holds it; write key.",
        ".scheme",
    ),
    CelRule(
        _needs("basic", "usernameKey", "passwordKey"),
        "Scheme basic sends a user name and a password, but it is not said which keys of the Secret "
        "hold them; write usernameKey and passwordKey.",
        ".scheme",
    ),
    CelRule(
        _needs("header", "header", "key"),
        "Scheme header sends a credential in a header of your choice; write header and key.",
        ".scheme",
    ),
    CelRule(
        _needs("oauth2", "oauth2"),
        "Scheme oauth2 fetches a token, but it is not said how; write oauth2 with grant, tokenPath, "
        "clientIdKey and clientSecretKey.",
        ".scheme",
    ),
)

_OAUTH2: Final = (
    CelRule(
        "has(self.tokenPath) != has(self.tokenConfig)",
        "The token endpoint must be known, and once; write tokenPath, or tokenConfig where it is on "
        "another host.",
    ),
    CelRule(
        "self.grant != 'refreshToken' || has(self.refreshTokenKey)",
        "Grant refreshToken shows a refresh token, but no key of the Secret holds it; write "
        "refreshTokenKey.",
        ".grant",
    ),
    CelRule(
        "self.grant != 'password' || (has(self.usernameKey) && has(self.passwordKey))",
        "Grant password shows a user's name and password, but it is not said which keys of the Secret "
        "hold them; write usernameKey and passwordKey.",
        ".grant",
    ),
)

_VERIFY: Final = (
    CelRule(
        _needs("bearer", "key"),
        "Scheme bearer compares a token, but no key of the Secret holds it; write key.",
        ".scheme",
    ),
    CelRule(
        _needs("basic", "usernameKey", "passwordKey"),
        "Scheme basic compares a user name and a password, but it is not said which keys of the Secret "
        "hold them; write usernameKey and passwordKey.",
        ".scheme",
    ),
    CelRule(
        _needs("hmac", "key", "header"),
        "Scheme hmac compares a signature, for which it needs a shared key and the header that carries "
        "the signature; write key and header.",
        ".scheme",
    ),
)

_CAPTURE: Final = (
    CelRule(
        "has(self.verify) && self.verify.size() > 0",
        "Anybody could send messages, because capture has no way to prove the sender; "
        "write at least one entry of verify, such as scheme bearer.",
    ),
)

_REQUEST: Final = (
    CelRule(
        "self.path.split('{').filter(part, part.contains('}'))"
        ".all(part, has(self.params) && part.split('}')[0] in self.params)",
        "The path has a {placeholder} without an expression, so the address could not be built; "
        "write it under params.",
        ".path",
    ),
    CelRule(
        "!has(self.params) || self.params.all(name, self.path.contains('{' + name + '}'))",
        "A parameter does not occur in the path, so it would never be sent; "
        "write it as {name} in path, or move it to query.",
        ".params",
    ),
)

_IDEMPOTENCY: Final = (
    CelRule(
        "!has(self.style) || self.style != 'header' || has(self.header)",
        "The key that marks a repeated request is to travel in a header, but it is not said in which; "
        "write header, such as Idempotency-Key.",
        ".style",
    ),
)

_PAGINATE: Final = (
    CelRule(
        "!has(self.style) || !(self.style in ['page', 'offset', 'cursor']) || has(self.param)"
        " || has(self.bodyParam)",
        "This style asks for the next page with a query parameter, but it is not said with which; "
        "write param.",
        ".style",
    ),
    CelRule(
        "!has(self.bodyParam) || (has(self.style) && self.style == 'cursor' && !has(self.param))",
        "Only a cursor can stand in the body, and then it stands nowhere else; write style cursor and no param.",
        ".bodyParam",
    ),
    CelRule(
        "!has(self.style) || !(self.style in ['cursor', 'link']) || has(self.next)",
        "This style takes the next page from the answer, but it is not said from where; write next.",
        ".style",
    ),
)

_CREDENTIAL_FIELDS = ("key", "usernameKey", "passwordKey")
_OAUTH2_FIELDS = ("clientIdKey", "clientSecretKey", "refreshTokenKey", "usernameKey", "passwordKey")

_CONNECTOR_CLASS: Final = (
    CelRule(
        "!has(self.auth) || ("
        + " && ".join(_credential_is_declared("self.auth", name) for name in _CREDENTIAL_FIELDS)
        + " && (!has(self.auth.oauth2) || ("
        + " && ".join(_credential_is_declared("self.auth.oauth2", name) for name in _OAUTH2_FIELDS)
        + ")))",
        "auth uses a key that is not listed in credentials, so nobody would know to put it into the "
        "Secret; add it to credentials.",
        ".auth",
    ),
    CelRule(
        "!has(self.capture) || !has(self.capture.verify) || self.capture.verify.all(v, "
        + " && ".join(_credential_is_declared("v", name) for name in _CREDENTIAL_FIELDS)
        + ")",
        "capture.verify uses a key that is not listed in credentials, so nobody would know to put it "
        "into the Secret; add it to credentials.",
        ".capture",
    ),
    CelRule(
        "!has(self.capture) || self.capture.object in self.objects",
        "capture.object is not declared, so nothing is known about the fields of a message; "
        "declare it under objects, or name an object that is there.",
        ".capture",
    ),
    CelRule(
        "!has(self.operations) || self.operations.all(name, !has(self.operations[name].object) || "
        "self.operations[name].object in self.objects)",
        "An operation works on an object that is not declared, so its fields cannot be checked; "
        "declare it under objects, or name an object that is there.",
        ".operations",
    ),
    CelRule(
        "!has(self.operations) || self.operations.all(name, "
        "(!has(self.operations[name].readBack) || "
        "self.operations[name].readBack.operation in self.operations) && "
        "(!has(self.operations[name].concurrency) || "
        "self.operations[name].concurrency.from in self.operations))",
        "readBack or concurrency names an operation that the class does not have, so a write could not "
        "be checked; declare that operation, or name one that is there.",
        ".operations",
    ),
    CelRule(
        "!has(self.operations) || self.operations.all(name, !has(self.operations[name].steps) || "
        "(self.operations[name].steps.stateFrom in self.operations && "
        "self.operations[name].steps.choicesFrom in self.operations))",
        "steps names an operation that the class does not have, so nobody would know where a record stands or "
        "what it offers; declare that operation, or name one that is there.",
        ".operations",
    ),
)

RULES: Final[Mapping[type[BaseModel], tuple[CelRule, ...]]] = {
    ConnectorSpec: _CONNECTOR,
    Auth: _AUTH,
    OAuth2: _OAUTH2,
    Verify: _VERIFY,
    Capture: _CAPTURE,
    Request: _REQUEST,
    Idempotency: _IDEMPOTENCY,
    Paginate: _PAGINATE,
    ConnectorClassSpec: _CONNECTOR_CLASS,
}
