"""Which test shows what for each row of the security requirements: writes docs/security.md.

How a test names its rows stands in `shown_rows`. Run by `.ci/generate.sh`; with --check it compares and fails
where the page is stale.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from support.shown_rows import TREE, rows_of, write

PAGE = TREE / "docs" / "security.md"
HEAD = TREE / "tests" / "support" / "security_head.md"


@dataclass(frozen=True, slots=True)
class Row:
    """One threat, and what holds where that is not what its tests say."""

    threat: str
    holds: str = ""


GROUPS: dict[str, dict[str, Row]] = {
    "What comes in": {
        "S-01": Row("somebody sends events in another's name"),
        "S-02": Row("the time of an answer tells how near a guess was"),
        "S-03": Row(
            "a request that was recorded is sent again",
            "Copies are recognised by the delivery's id and by the message's own name, for 72 hours and more. None "
            "of the shipped schemes signs a time, so there is no window of minutes.",
        ),
        "S-04": Row("a proof of one scheme is taken for that of another"),
        "S-05": Row("requests within requests, and other tricks with HTTP"),
        "S-06": Row("senders that dawdle"),
        "S-07": Row("a body without end"),
        "S-08": Row("a small body that unpacks to a large one"),
        "S-09": Row("JSON made to cost time or memory"),
        "S-10": Row(
            "YAML and XML that unfold without end",
            "Capture reads JSON only; nothing in intops reads XML. The command line reads YAML of people.",
        ),
        "S-11": Row(
            "paths are guessed",
            "Paths of capture are `/in/NAMESPACE/FLOW/BINDING`, which can be guessed; whoever guesses one still has "
            "to prove who they are.",
        ),
        "S-12": Row("a flood of strangers fills the queue"),
        "S-13": Row("an address of a sender is made up"),
        "S-14": Row(
            "bad client certificates",
            "Capture speaks plain HTTP inside the cluster and takes no client certificates; where senders are "
            "outside, an Ingress ends TLS.",
        ),
        "S-15": Row(
            "weak shared secrets",
            "Length is all that is judged: below 32 bytes `CredentialsValid` is True with reason `WeakSecret`, and "
            "nothing is refused for it. A long word that others know is not found out; `Rotating` shows, to the "
            "hour, whether senders still use a previous value.",
        ),
        "S-16": Row("errors tell what is inside"),
        "S-17": Row(
            "a challenge is echoed", "No class answers challenges, so there is nothing to echo."
        ),
        "S-18": Row("open ports for metrics, health and questions"),
        "S-19": Row("names of fields and headers that programs stumble over"),
    },
    "What goes out": {
        "S-20": Row(
            "a Connector leads to metadata services, to the API server or to the worker itself",
            "Private ranges are allowed, as most systems of this kind are on premises: RFC 1918 and fc00::/7, "
            "unless the chart's `worker.allowRanges` names others. Link-local addresses, metadata services, "
            "loopback and the address of the API server's Service are refused always; addresses of nodes, and "
            "those at which the API server itself listens, where `worker.denyRanges` names them.",
        ),
        "S-21": Row("addresses in odd spellings"),
        "S-22": Row("a name that leads elsewhere a moment later"),
        "S-23": Row("redirects"),
        "S-24": Row("what a message says becomes part of an address"),
        "S-25": Row("what a message says becomes a header"),
        "S-26": Row("a system that cannot prove who it is"),
        "S-27": Row("hostile answers"),
        "S-28": Row("a proxy from the environment"),
        "S-29": Row("a credential is sent to another host than its owner meant"),
        "S-30": Row("storms of retries, accounts that are locked"),
        "S-31": Row("access tokens are stolen or mixed up"),
    },
    "Secrets, personal data and logs": {
        "S-32": Row("a secret is written somewhere"),
        "S-33": Row("the operator reads Secrets"),
        "S-34": Row("secrets in the environment of a process"),
        "S-35": Row("a changed secret needs a restart, or loses events"),
        "S-36": Row("a missing secret is taken for a wrong signature"),
        "S-37": Row("a secret stands in a manifest"),
        "S-38": Row("kopf copies an object into an annotation"),
        "S-39": Row(
            "payloads at rest",
            "The embedded store overwrites what it forgets or is told to erase. Copies and snapshots of a volume are "
            "beyond that, and PostgreSQL keeps what its vacuum has not reached: encrypt both.",
        ),
        "S-40": Row("what a message says forges a line of a log or moves a terminal's cursor"),
        "S-41": Row(
            "a secret that was changed stays in memory",
            "A worker keeps the current and the previous value and nothing before them. Python does not wipe what it "
            "frees: bytes of an earlier request can lie in free memory until others take their place, which they do "
            "while messages come and need not where none does; a restart of the pod ends it. Nothing is said of swap "
            "and of copies in the kernel.",
        ),
    },
    "Kubernetes": {
        "S-42": Row("a reference leads into another namespace"),
        "S-43": Row("a grant between namespaces", "There is none: names only, and one namespace."),
        "S-44": Row(
            "the operator may do more than it must",
            "It may patch its one webhook configuration and its one Secret, both by name (the certificate of "
            "admission). It is installed for all namespaces unless `watchNamespaces` is set.",
        ),
        "S-45": Row("a tenant has the operator run something else"),
        "S-46": Row("who may not read a Secret has it sent somewhere by a Connector"),
        "S-47": Row("a worker has rights in the API"),
        "S-48": Row("a pod is broken out of"),
        "S-49": Row("from one pod to others"),
        "S-50": Row("admission that is down stops others, or its own repair"),
        "S-51": Row("an object that admission has never seen"),
        "S-52": Row("a forged AdmissionReview"),
        "S-53": Row("the certificate of admission expires"),
        "S-54": Row("objects that are too large, or cost too much to judge"),
        "S-55": Row("expressions without end"),
        "S-56": Row("regular expressions without end"),
        "S-57": Row("an expression reaches what is around it"),
        "S-58": Row(
            "annotations that grow", "intops writes no annotations onto objects of people."
        ),
        "S-59": Row(
            "a flood of status writes or Events",
            "One bucket for statuses; an Event only where what Ready says changed, and at most 500 wait.",
        ),
        "S-60": Row("a finalizer that nobody removes", "intops sets none."),
        "S-61": Row("one tenant takes everything"),
        "S-63": Row("a plan is changed between operator and worker"),
        "S-64": Row("decisions about messages in another's name"),
        "S-65": Row("two operators"),
    },
    "Where it comes from": {
        "S-66": Row(
            "a dependency with a known flaw",
            "Locks have hashes; `make audit` asks PyPI for known flaws of everything in them, and fails where it "
            "gets no answer.",
        ),
        "S-67": Row(
            "a build that somebody has changed",
            "The same tree on the same base gives the same digest, so an image can be compared with one that you "
            "build ([install](install.md#images)). It was measured with buildah. Images and chart are not signed; "
            "no attestation says who built them.",
        ),
        "S-68": Row(
            "nobody knows what an image holds",
            "Each image has its bill of materials in it, `/opt/intops/sbom.cdx.json` (CycloneDX), and `make images` "
            "puts it into `build/`. Packages of the base are listed where it is Debian. Not listed: what wheels have "
            "compiled in, such as SQLite in apsw. It is no attestation, and there is none in SPDX.",
        ),
        "S-69": Row(
            "flaws in the code",
            "`make check` runs bandit, ruff's security rules and mypy in strict mode; 0 findings, and each exception "
            "has its reason beside it.",
        ),
        "S-70": Row("nobody knows whom to tell", "[SECURITY.md](../SECURITY.md) says it."),
        "S-71": Row("the project's own hygiene"),
        "S-72": Row("an image with more than it needs"),
    },
}


def page(folder: Path = TREE / "tests") -> str:
    """The whole page.

    Raises:
        KeyError: a test names a row that there is not.
    """
    known = {row for rows in GROUPS.values() for row in rows}
    found = rows_of(sorted(folder.rglob("test_*.py")), known, "S")
    counted = f"{sum(row in found for row in known)} of {len(known)} rows have a test.\n"
    parts = [HEAD.read_text(encoding="utf-8"), "## Rows\n", counted]
    for title, rows in GROUPS.items():
        parts.append(f"### {title}\n")
        for name, row in rows.items():
            parts.append(f"**{name}: {row.threat}**\n")
            if row.holds:
                parts.append(f"{row.holds}\n")
            lines = [one.line for one in found.get(name, [])]
            parts.append("\n".join(lines or ["- no test"]) + "\n")
    return "\n".join(parts)


if __name__ == "__main__":
    sys.exit(write(PAGE, page(), check="--check" in sys.argv[1:]))
