"""What the test of a Connector found, as sentences: what was done, what came back, what to do. Pure.

Each function takes what one step saw and gives one `Check`. Times are seconds. Used by the runtime's trial, which
asks the system, and shown by `intops connector test`. No sentence holds the value of a credential.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from intops_api.connector_class import ClassLimits, CredentialKey
from intops_api.self_test import Right

Level = Literal["ok", "warn", "fail", "skip"]
CheckName = Literal[
    "address", "tls", "credentials", "login", "rights", "discovery", "clock", "limits"
]

# A Date header tells whole seconds and is as old as the answer; below this nobody can say that a clock is wrong.
SKEW_WARN_S: Final = 30.0
# Tokens and signatures live five minutes in most systems.
SKEW_FAIL_S: Final = 300.0
CERTIFICATE_WARN_DAYS: Final = 14
_RATE_HEADERS: Final = (
    "retry-after", "ratelimit-limit", "ratelimit-remaining", "ratelimit-reset", "x-ratelimit-limit",
    "x-ratelimit-remaining", "x-ratelimit-reset",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Check:
    """One step. `todo` is empty where nothing is to be done."""

    check: CheckName
    level: Level
    did: str
    found: str
    todo: str = ""

    def wire(self) -> dict[str, str]:
        """The JSON-ready shape."""
        return {
            "check": self.check, "level": self.level, "did": self.did, "found": self.found,
            "todo": self.todo,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Reply:
    """What became of one read.

    Attributes:
        asked: Method and path, such as `GET /rest/api/3/myself`.
        error_class: Class of the error (domain reference 3.1); empty where the read did its work.
        words: What the system, or whoever kept the request from it, said. No credential is in them.
        status: HTTP status, where there was an answer.
        is_page: Whether the answer was an HTML page.
        rule: What decided, such as `transport:dns` or `credential:missing`.
    """

    asked: str
    error_class: str = ""
    words: str = ""
    status: int | None = None
    is_page: bool = False
    rule: str = ""

    @property
    def ok(self) -> bool:
        """Whether the read did its work."""
        return not self.error_class


@dataclass(frozen=True, slots=True)
class Secret:
    """What is known of a Secret of the Connector; never a value.

    Attributes:
        name: Its name; empty where the Connector names none.
        where: Where it was looked for, such as `in the folder`.
        held: Keys that have a value; None where it is not there.
        unread: Why it could not be looked at, where that is so.
    """

    name: str
    where: str
    held: frozenset[str] | None = None
    unread: str = ""


def address(host: str, addresses: Sequence[str], kind: str = "", words: str = "") -> Check:
    """The name resolves, the guard allows every address, and somebody answers at the port.

    `kind` is how it ended (see `TransportKind` of the runtime), empty where there is a connection.
    """
    did = f"looked up {host} and connected"
    match kind:
        case "" | "tls":
            return Check("address", "ok", did, f"{', '.join(addresses)}; allowed, and it answers")
        case "dns":
            todo = (
                "Correct the host in spec.endpoint of the Connector, or let the DNS of this place know it. "
                "Workers ask the DNS of the cluster."
            )
        case "blocked":
            todo = (
                "The worker refuses this address, too. Write the system's own address in spec.endpoint; if it is "
                "private and meant, its range must be among those that workers may call (--worker-allow-ranges)."
            )
        case "refused":
            todo = "Nobody listens at that port. See whether the system runs, and whether spec.endpoint has its port."
        case _:
            todo = (
                "A firewall, a route or a proxy keeps it away, or the system is down. Open the way from here "
                "and from the workers to that port."
            )
    return Check("address", "fail", did, words, todo)


def tls(endpoint: str, words: str, days_left: float | None, *, own_authority: str | None) -> Check:
    """The system proves who it is. `words` say why it does not; `own_authority` names a Secret with `ca.crt`."""
    did = "checked the certificate"
    if endpoint.startswith("http://"):
        todo = "Credentials and records travel in the clear. Write https:// in spec.endpoint where the system has it."
        return Check("tls", "warn", did, "the endpoint is http, so there is none", todo)
    if words:
        todo = (
            f'See whether ca.crt of Secret "{own_authority}" (spec.tls.caSecretName) signed it, and whether '
            "the host of spec.endpoint stands in it."
            if own_authority
            else "If an authority of your own signed it, put its certificate as ca.crt into a Secret and name that "
            "in spec.tls.caSecretName; else the system needs a certificate for the host of spec.endpoint."
        )
        return Check("tls", "fail", did, words, todo)
    if days_left is not None and days_left < CERTIFICATE_WARN_DAYS:
        todo = "Renew it on the side of the system; when it ends no message is delivered any more."
        return Check("tls", "warn", did, f"good, but it ends in {max(days_left, 0):.0f} days", todo)
    found = "good" if days_left is None else f"good for another {days_left:.0f} days"
    return Check("tls", "ok", did, found)


def credentials(secret: Secret, declared: Sequence[CredentialKey]) -> Check:
    """The Secret holds the keys that the class declares."""
    needed = [key for key in declared if key.required]
    if not secret.name:
        if not needed:
            return Check("credentials", "ok", "looked for a Secret", "the class needs none")
        keys = ", ".join(key.key for key in needed)
        todo = f"Make a Secret with the keys {keys} and name it in spec.credentials.secretName."
        return Check("credentials", "fail", "looked for a Secret", "the Connector names none", todo)
    did = f'looked for Secret "{secret.name}" {secret.where}'
    if secret.unread:
        todo = "Ask somebody who may read it to run this test, or look at CredentialsValid of the Flow."
        return Check("credentials", "warn", did, secret.unread, todo)
    if secret.held is None:
        keys = ", ".join(key.key for key in needed) or "the class's keys"
        return Check("credentials", "fail", did, "it is not there", f"Make it, with {keys}.")
    held = ", ".join(sorted(secret.held)) or "none"
    lacking = [key for key in needed if key.key not in secret.held]
    if lacking:
        found = f"keys with a value: {held}; missing: {', '.join(key.key for key in lacking)}"
        todo = " ".join(f"Add {key.key}: {key.description}".rstrip(": ") for key in lacking)
        return Check("credentials", "fail", did, found, todo)
    return Check("credentials", "ok", did, f"keys with a value: {held}")


def login(reply: Reply, secret_name: str, who: str | None) -> Check:
    """The credentials are taken."""
    if reply.ok:
        found = (
            f'HTTP {reply.status}; the system knows us as "{who}"'
            if who
            else f"HTTP {reply.status}"
        )
        return Check("login", "ok", reply.asked, found)
    values = f'the values in Secret "{secret_name}"' if secret_name else "spec.credentials"
    match reply.error_class:
        case "authDenied" | "authExpired":
            todo = f"Correct {values}: the system does not take them. See also whether the user there is locked."
        case "forbidden":
            todo = "The user is known but may not even read. Give it the rights that the class's description names."
        case "policyDenied":
            todo = (
                f"Let allowedOrigins of {values} list the endpoint, or remove that key."
                if (reply.rule == "credential:origin")
                else "The worker would not send this either; correct what it names."
            )
        case "rateLimited":
            words = f"{reply.words}: the system asks us to wait"
            return Check("login", "warn", reply.asked, words, "Run the test again later.")
        case "notFound":
            todo = "The interface is not at this address. Correct the path in spec.endpoint."
        case "timeout":
            todo = "The system took the connection and is silent. See whether it is overloaded, or behind a proxy."
        case _ if reply.is_page:
            todo = (
                "A page to log in, a proxy or maintenance answers so. Open the address with a browser; "
                "spec.endpoint must lead to the interface for programs, past single sign-on."
            )
        case "destinationDown" | "transientNetwork":
            todo = "The system is not well. Look at its side; intops would wait and ask again."
        case _:
            todo = "This is no answer of such a system. See whether spec.class and spec.endpoint fit each other."
    return Check("login", "fail", reply.asked, _words(reply), todo)


def right(right_: Right, reply: Reply, *, granted: bool | None, offered: Collection[str]) -> Check:
    """The user may do one thing. `granted` is None where the answer does not tell; `offered` are used operations."""
    did = f"{reply.asked}: {right_.name}"
    needs = ", ".join(name for name in right_.operations if name in offered)
    if not reply.ok:
        todo = f"It could not be seen whether the user may; {needs} need it. {right_.remedy}"
        return Check("rights", "fail" if _is_denied(reply) else "warn", did, _words(reply), todo)
    if granted is None:
        todo = f"See on its side whether the user may; {needs} need it."
        return Check("rights", "warn", did, "the answer does not tell", todo)
    if not granted:
        return Check("rights", "fail", did, f"not allowed; {needs} need it", right_.remedy)
    return Check("rights", "ok", did, "allowed")


def unread_discovery(name: str, reply: Reply) -> Check:
    """What the instance has could not be read, so nothing was compared."""
    todo = "Nothing was compared. Let the user of intops read it, or compare the Mappings by hand."
    return Check("discovery", "warn", f"{name}: {reply.asked}", _words(reply), todo)


def clock(asked: str, skew_s: float | None) -> Check:
    """The system's clock is ours; `skew_s` is positive where it is ahead, None where the answer has no date."""
    did = f"compared the date of {asked} with the clock here"
    if skew_s is None:
        return Check("clock", "skip", did, "the answer has no date")
    off = abs(skew_s)
    if off < SKEW_WARN_S:
        return Check("clock", "ok", did, f"{off:.0f} s apart")
    way = "ahead of" if skew_s > 0 else "behind"
    todo = (
        "See which clock is wrong, and let it follow NTP: times in records, searches by time, and tokens "
        "that end depend on it."
    )
    level: Level = "fail" if off >= SKEW_FAIL_S else "warn"
    return Check("clock", level, did, f"its clock is {_span(off)} {way} the one here", todo)


def limits(headers: Mapping[str, str], in_use: ClassLimits) -> Check:
    """What the system says of its limits, beside those that intops keeps."""
    ours = f"intops sends at most {in_use.requests_per_second:g} a second, {in_use.concurrency} at once"
    told = {name: headers[name][:64] for name in _RATE_HEADERS if name in headers}
    did = "read the headers about limits"
    if not told:
        return Check("limits", "ok", did, f"it tells none; {ours}")
    found = "; ".join([*(f"{name}: {value}" for name, value in told.items()), ours])
    left = told.get("ratelimit-remaining", told.get("x-ratelimit-remaining", "")).strip()
    if "retry-after" in told or left == "0":
        todo = "The limit is used up now. Lower spec.limits of the Connector where others use this account, too."
        return Check("limits", "warn", did, found, todo)
    return Check("limits", "ok", did, found)


def skipped(check: CheckName, why: str) -> Check:
    """A step that was not taken."""
    return Check(check, "skip", "not tried", why)


def passed(checks: Collection[Check]) -> bool:
    """Whether nothing failed."""
    return all(check.level != "fail" for check in checks)


def _is_denied(reply: Reply) -> bool:
    return reply.error_class in ("authDenied", "authExpired", "forbidden", "notFound")


def _words(reply: Reply) -> str:
    if reply.is_page:
        return f"HTTP {reply.status}: the answer is a page for people, not data"
    return reply.words or reply.error_class


def _span(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
