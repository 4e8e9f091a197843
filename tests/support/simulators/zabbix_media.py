"""The media type of the simulated Zabbix: which macros it fills in, and what its script posts.

`posted` does what `examples/05-zabbix-to-request-tracker/media-type.js` does; a test holds the two against each
other.
"""

from __future__ import annotations

import json
import re
import time
from typing import Any, Final

from support.simulators.zabbix_store import Problem, Update

PARAMETERS: Final = {
    "zabbix_url": "{$ZABBIX.URL}", "event_source": "{EVENT.SOURCE}", "event_id": "{EVENT.ID}",
    "trigger_id": "{TRIGGER.ID}", "event_value": "{EVENT.VALUE}",
    "update_status": "{EVENT.UPDATE.STATUS}", "event_name": "{EVENT.NAME}",
    "event_nseverity": "{EVENT.NSEVERITY}", "ack_status": "{EVENT.ACK.STATUS}",
    "event_timestamp": "{EVENT.TIMESTAMP}", "event_date": "{EVENT.DATE}",
    "event_time": "{EVENT.TIME}", "recovery_id": "{EVENT.RECOVERY.ID}",
    "recovery_timestamp": "{EVENT.RECOVERY.TIMESTAMP}", "recovery_date": "{EVENT.RECOVERY.DATE}",
    "recovery_time": "{EVENT.RECOVERY.TIME}", "opdata": "{EVENT.OPDATA}",
    "tags": "{EVENT.TAGSJSON}", "description": "{TRIGGER.DESCRIPTION}",
    "trigger_url": "{TRIGGER.URL}", "host": "{HOST.HOST}", "host_name": "{HOST.NAME}",
    "host_ip": "{HOST.IP}", "update_timestamp": "{EVENT.UPDATE.TIMESTAMP}",
    "update_date": "{EVENT.UPDATE.DATE}", "update_time": "{EVENT.UPDATE.TIME}",
    "update_action": "{EVENT.UPDATE.ACTION}", "update_message": "{EVENT.UPDATE.MESSAGE}",
    "update_user": "{USER.FULLNAME}",
}  # fmt: skip
"""Parameters of the media type beside `url` and `token`: name → macro."""

ALWAYS: Final = frozenset({"eventid", "triggerid", "value", "name", "severity", "clock"})
_EMPTY: Final = re.compile(r"\{.*\}|\*?UNKNOWN\*?")


def macros(problem: Problem, recovered: bool, update: Update | None, url: str) -> dict[str, str]:
    """Macro → what the server fills in. What it does not know here stays out, and so stays as it is."""
    trigger, host = problem.trigger, problem.trigger.hosts[0]
    known = {
        "{$ZABBIX.URL}": url, "{EVENT.SOURCE}": "0", "{EVENT.ID}": str(problem.eventid),
        "{TRIGGER.ID}": str(trigger.triggerid), "{EVENT.VALUE}": "0" if recovered else "1",
        "{EVENT.UPDATE.STATUS}": str(int(update is not None)), "{EVENT.NAME}": trigger.name,
        "{EVENT.NSEVERITY}": str(problem.severity),
        "{EVENT.ACK.STATUS}": "Yes" if problem.acknowledged else "No",
        **_moment("EVENT", problem.clock), "{EVENT.OPDATA}": trigger.opdata,
        "{EVENT.TAGSJSON}": json.dumps(problem.tags), "{TRIGGER.DESCRIPTION}": trigger.comments,
        "{TRIGGER.URL}": trigger.url, "{HOST.HOST}": host.host, "{HOST.NAME}": host.name,
        "{HOST.IP}": host.ip or "UNKNOWN",
    }  # fmt: skip
    if recovered:
        known["{EVENT.RECOVERY.ID}"] = str(problem.r_eventid)
        known |= _moment("EVENT.RECOVERY", problem.r_clock)
    if update is not None:
        known |= _moment("EVENT.UPDATE", update.clock)
        known["{EVENT.UPDATE.ACTION}"] = update.words
        known["{EVENT.UPDATE.MESSAGE}"] = update.message
        known["{USER.FULLNAME}"] = update.user
    return known


def parameters(known: dict[str, str]) -> dict[str, str]:
    """The parameters of the media type, with what is known filled in."""
    return {name: known.get(macro, macro) for name, macro in PARAMETERS.items()}


def posted(p: dict[str, str]) -> dict[str, Any]:
    """What the script posts for these parameters."""
    try:
        tags = json.loads(p["tags"])
    except ValueError:
        tags = []
    problem: dict[str, Any] = {
        "eventid": p["event_id"], "triggerid": p["trigger_id"], "value": p["event_value"],
        "update": "1" if p["update_status"] == "1" else "0", "name": p["event_name"],
        "severity": p["event_nseverity"], "acknowledged": p["ack_status"],
        "clock": _seconds(p, "event"), "opdata": p["opdata"], "description": p["description"],
        "url": p["trigger_url"], "tags": tags, "host": p["host"], "hostName": p["host_name"],
        "hostIp": p["host_ip"],
    }  # fmt: skip
    if p["event_value"] == "0":
        problem |= {"r_eventid": p["recovery_id"], "r_clock": _seconds(p, "recovery")}
    if problem["update"] == "1":
        problem |= {
            "updatedAt": _seconds(p, "update"), "updateAction": p["update_action"],
            "updateMessage": p["update_message"], "updatedBy": p["update_user"],
        }  # fmt: skip
    kept = {
        name: value for name, value in problem.items()
        if not isinstance(value, str) or _filled(value) or name in ALWAYS
    }  # fmt: skip
    url = p["zabbix_url"]
    return {"version": "1", "zabbix": url if _filled(url) else "", "problems": [kept]}


def _filled(text: str) -> bool:
    return text != "" and not _EMPTY.fullmatch(text)


def _moment(of: str, clock: int) -> dict[str, str]:
    at = time.localtime(clock)
    return {
        f"{{{of}.TIMESTAMP}}": str(clock),
        f"{{{of}.DATE}}": time.strftime("%Y.%m.%d", at),
        f"{{{of}.TIME}}": time.strftime("%H:%M:%S", at),
    }


def _seconds(p: dict[str, str], of: str) -> str:
    if p[f"{of}_timestamp"].isdecimal():
        return p[f"{of}_timestamp"]
    try:
        told = f"{p[f'{of}_date']} {p[f'{of}_time']}"
        return str(int(time.mktime(time.strptime(told, "%Y.%m.%d %H:%M:%S"))))
    except ValueError:
        return ""
