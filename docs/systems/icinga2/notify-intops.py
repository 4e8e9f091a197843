#!/usr/bin/env python3
"""Tells intops of one notification of Icinga 2; called by the NotificationCommand of intops.conf.

Reads INTOPS_ variables of the environment, and the token from a file, so that it is in no process list. Ends with 0
once intops has stored the notification and with 1, and a line for Icinga's log, where it has not.

Icinga names no outbreak. While a problem lasts, the time of the last good check stays the same, so that names it;
the recovery is itself a good check, so the name is remembered in a small file for each host and service.
"""

import hashlib
import json
import os
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

# Icinga runs a notification once and ends it after a minute.
WAITS_S = (1.0, 5.0, 15.0)
TIMEOUT_S = 8.0
GOOD = ("OK", "UP")


def outbreak(host: str, service: str, state: str, last_good: str, folder: Path) -> str:
    """The name of the outbreak; empty where nothing is over that this host remembers."""
    name = hashlib.sha256(f"{host}!{service}".encode()).hexdigest()
    file = folder / name
    if state in GOOD:
        return file.read_text(encoding="utf-8") if file.exists() else ""
    folder.mkdir(parents=True, exist_ok=True)
    fresh = folder / f"{name}.fresh"
    fresh.write_text(last_good, encoding="utf-8")
    fresh.replace(file)
    return last_good


def notification(given: "os._Environ[str]") -> dict[str, str]:
    """The notification as intops expects it; what Icinga does not know is left out."""
    found = {
        name: given.get(f"INTOPS_{variable}", "")
        for name, variable in (
            ("type", "TYPE"),
            ("host", "HOST"),
            ("hostName", "HOST_NAME"),
            ("address", "ADDRESS"),
            ("service", "SERVICE"),
            ("serviceName", "SERVICE_NAME"),
            ("state", "STATE"),
            ("output", "OUTPUT"),
            ("changedAt", "CHANGED_AT"),
            ("author", "AUTHOR"),
            ("comment", "COMMENT"),
            ("notes", "NOTES_URL"),
            ("businessService", "BUSINESS_SERVICE"),
            ("environment", "ENVIRONMENT"),
            ("category", "CATEGORY"),
        )
    }
    folder = Path(given.get("INTOPS_MEMORY", "/var/lib/icinga2/intops"))
    found["outbreak"] = outbreak(
        found["host"], found["service"], found["state"], given.get("INTOPS_LAST_GOOD", ""), folder
    )
    return {name: text for name, text in found.items() if text}


class _Stays(urllib.request.HTTPRedirectHandler):
    """Follows nobody elsewhere: the token is for this address alone."""

    def redirect_request(self, *_: object) -> None:
        """Take a redirect for the refusal that it is."""


def send(url: str, token: str, body: bytes) -> str:
    """Send once; returns what went wrong, or an empty text."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    # S310: the address is that of Icinga's own configuration.
    request = urllib.request.Request(url, data=body, headers=headers)  # noqa: S310
    try:
        with urllib.request.build_opener(_Stays).open(request, timeout=TIMEOUT_S) as answer:
            return "" if 200 <= answer.status < 300 else f"intops answered {answer.status}"
    except urllib.error.HTTPError as error:
        return f"intops answered {error.code}"
    except OSError as error:
        return f"intops cannot be reached: {error}"


def main() -> int:
    """Send, and try again a few times."""
    given = os.environ
    token = Path(given["INTOPS_TOKEN_FILE"]).read_text(encoding="utf-8").strip()
    told = {
        "version": "1",
        "instance": given.get("INTOPS_INSTANCE", ""),
        "notifications": [notification(given)],
    }
    body = json.dumps(told).encode()
    wrong = send(given["INTOPS_URL"], token, body)
    for wait_s in WAITS_S:
        if not wrong:
            break
        time.sleep(wait_s)
        wrong = send(given["INTOPS_URL"], token, body)
    if wrong:
        sys.stderr.write(f"notify-intops: {wrong}\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
