"""The JSON-RPC methods of the simulated Zabbix, as the documentation of 7.0 tells of them.

Used by the server. Every answer, be it an error, is a body for a 200.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from support.simulators.zabbix_store import (
    ACKNOWLEDGE,
    CLOSE,
    MESSAGE,
    SEVERITY,
    Problem,
    Trigger,
    ZabbixStore,
)

MESSAGES: Final = {
    -32700: "Parse error",
    -32600: "Invalid Request.",
    -32601: "Method not found.",
    -32602: "Invalid params.",
    -32603: "Internal error.",
    -32500: "Application error.",
}
NOT_THERE: Final = "No permissions to referred object or it does not exist!"

_PROBLEM_PARAMS: Final = frozenset(
    {
        "eventids", "groupids", "hostids", "objectids", "source", "object", "severities", "tags",
        "evaltype", "eventid_from", "eventid_till", "time_from", "time_till", "acknowledged",
        "suppressed", "symptom", "recent", "output", "countOutput", "selectTags",
        "selectAcknowledges", "selectSuppressionData", "sortfield", "sortorder", "limit",
        "preservekeys", "filter", "search",
    }
)  # fmt: skip
_ACKNOWLEDGE_PARAMS: Final = frozenset(
    {"eventids", "action", "message", "severity", "suppress_until", "cause_eventid"}
)


class ApiError(Exception):
    """An answer that says no: its code and its words."""

    def __init__(self, code: int, data: str) -> None:
        super().__init__(data)
        self.code = code
        self.data = data


def failure(error: ApiError, call_id: Any = None) -> dict[str, Any]:
    """The body of an error."""
    told = {"code": error.code, "message": MESSAGES[error.code], "data": error.data}
    return {"jsonrpc": "2.0", "error": told, "id": call_id}


@dataclass(slots=True)
class Role:
    """What the user of the API may do; all of it unless said otherwise."""

    refused_methods: set[str] = field(default_factory=set)
    """Methods that the role does not allow."""
    hidden_hosts: set[int] = field(default_factory=set)
    """Hosts that the user may not read."""
    read_only: bool = False
    """Whether the user may only read: no close and no severity."""
    name: str = "intops"


class ZabbixApi:
    """Answers calls over one store; who calls is known already."""

    def __init__(self, store: ZabbixStore) -> None:
        self.store = store
        self.role = Role()

    def answer(self, call: Any, now: float) -> tuple[dict[str, Any], Problem | None]:
        """The body of the answer, and the problem that was changed, if one was."""
        changed: list[Problem] = []
        try:
            method, params = self._readable(call)
            if method in self.role.refused_methods:
                raise ApiError(-32500, f'No permissions to call "{method}".')
            match method:
                case "problem.get":
                    result = self._problems(params)
                case "trigger.get":
                    result = self._triggers(params)
                case "event.get":
                    result = self._events(params)
                case "event.acknowledge":
                    result = self._acknowledge(params, now, changed)
                case _:
                    words = f'Incorrect API "{method.partition(".")[0]}".'
                    raise ApiError(-32601, words)
        except ApiError as error:
            return failure(error, call.get("id") if isinstance(call, dict) else None), None
        answer = {"jsonrpc": "2.0", "result": result, "id": call["id"]}
        return answer, changed[0] if changed else None

    def _readable(self, call: Any) -> tuple[str, dict[str, Any]]:
        if not isinstance(call, dict) or call.get("jsonrpc") != "2.0":
            raise ApiError(-32600, 'Invalid parameter "/jsonrpc": value must be "2.0".')
        if "auth" in call:
            raise ApiError(-32600, 'Invalid parameter "/": unexpected parameter "auth".')
        params = call.get("params")
        if not isinstance(call.get("method"), str) or not isinstance(params, dict):
            raise ApiError(-32600, 'Invalid parameter "/params": an array is expected.')
        return call["method"], params

    def _problems(self, params: dict[str, Any]) -> Any:
        _only(params, _PROBLEM_PARAMS)
        severities = params.get("severities") or list(range(6))
        for place, one in enumerate(severities, 1):
            if one not in range(6):
                words = f'Invalid parameter "/severities/{place}": value must be one of 0-5.'
                raise ApiError(-32602, words)
        found = [
            one for _, one in sorted(self.store.problems.items())
            if not one.r_eventid
            and one.severity in severities
            and self._reads(one.trigger)
            and params.get("suppressed", one.suppressed) is one.suppressed
            and params.get("symptom", bool(one.cause_eventid)) is bool(one.cause_eventid)
            and one.eventid >= int(params.get("eventid_from", 0))
            and _in_groups(one.trigger, params.get("groupids"))
        ]  # fmt: skip
        if params.get("countOutput"):
            return str(len(found))
        if params.get("sortorder") == "DESC":
            found.reverse()
        tags = params.get("selectTags") is not None
        return [
            {**one.view(), **({"tags": one.tags} if tags else {})}
            for one in found[: params.get("limit")]
        ]

    def _triggers(self, params: dict[str, Any]) -> Any:
        """Older methods take what they do not know and say nothing."""
        wanted = {int(one) for one in params.get("triggerids") or []}
        found = [
            one for one in self.store.triggers.values()
            if one.triggerid in wanted and self._reads(one)
            and (one.enabled or not params.get("monitored"))
        ]  # fmt: skip
        views = {str(one.triggerid): _trigger_view(one, params) for one in found}
        # PHP knows no empty map: what would be {} is [].
        return views if params.get("preservekeys") and views else list(views.values())

    def _events(self, params: dict[str, Any]) -> Any:
        ids = _ids(params.get("eventids"))
        found = [self.store.problems[one] for one in ids if one in self.store.problems]
        return [{**one.view(), "value": "1"} for one in found if self._reads(one.trigger)]

    def _acknowledge(self, params: dict[str, Any], now: float, changed: list[Problem]) -> Any:
        _only(params, _ACKNOWLEDGE_PARAMS)
        action, ids = params.get("action"), _ids(params.get("eventids"))
        if not isinstance(action, int) or not 0 < action < 512:
            raise ApiError(-32602, 'Invalid parameter "/action": value must be one of 1-511.')
        message = str(params.get("message") or "")
        if action & MESSAGE and not message:
            raise ApiError(-32602, 'Incorrect value for field "message": cannot be empty.')
        known = [self.store.problems.get(one) for one in ids]
        mine = [one for one in known if one is not None and self._reads(one.trigger)]
        writes = action & (CLOSE | SEVERITY)
        if not ids or len(mine) < len(ids) or (writes and self.role.read_only):
            raise ApiError(-32500, NOT_THERE)
        if action & CLOSE and not all(one.trigger.manual_close for one in mine):
            words = "Cannot close problem: trigger does not allow manual closing."
            raise ApiError(-32500, words)
        for one in mine:
            left = action & ~ACKNOWLEDGE if one.acknowledged else action
            left = left & ~CLOSE if one.r_eventid else left
            if left:  # what is done already is passed over without a word
                severity = params.get("severity")
                self.store.update(
                    one, left, now, message=message, severity=severity, user=self.role.name
                )
                changed.append(one)
        return {"eventids": [str(one) for one in ids]}

    def _reads(self, trigger: Trigger) -> bool:
        """A trigger is seen only by who may see all its hosts."""
        return not any(host.hostid in self.role.hidden_hosts for host in trigger.hosts)


def _only(params: dict[str, Any], known: frozenset[str]) -> None:
    for name in params:
        if name not in known:
            words = f'Invalid parameter "/": unexpected parameter "{name}".'
            raise ApiError(-32602, words)


def _ids(given: Any) -> list[int]:
    try:
        return [int(one) for one in (given if isinstance(given, list) else [given])]
    except (TypeError, ValueError) as error:
        raise ApiError(-32602, 'Invalid parameter "/eventids": a number is expected.') from error


def _in_groups(trigger: Trigger, groupids: Any) -> bool:
    return not groupids or any(str(host.groupid) in map(str, groupids) for host in trigger.hosts)


def _trigger_view(trigger: Trigger, params: dict[str, Any]) -> dict[str, Any]:
    view: dict[str, Any] = {
        "triggerid": str(trigger.triggerid), "description": trigger.name, "url": trigger.url,
        "comments": trigger.comments, "priority": str(trigger.severity),
        "status": str(int(not trigger.enabled)), "manual_close": str(int(trigger.manual_close)),
    }  # fmt: skip
    if params.get("selectHosts") is not None:
        view["hosts"] = [
            {"hostid": str(one.hostid), "host": one.host, "name": one.name} for one in trigger.hosts
        ]
    return view
