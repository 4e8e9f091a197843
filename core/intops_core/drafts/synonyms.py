"""What tools call the fields and values of the shipped models: data, the best name first.

Names are written as `name_of` leaves them. Add a name here where a draft misses a field of a tool that you know.
"""

from collections.abc import Mapping
from typing import Final

EVENT: Final[Mapping[str, str]] = {
    "identityKey": "fingerprint dedupkey dedup aggregkey aggregationkey groupkey alertkey incidentkey "
    "problemid "
    "alertid monitorid triggerid ruleid incidentid checkid key uuid id uid eventid identifier",
    "state": "status state alertstatus alertstate eventstatus problemstate alerttransition eventaction "
    "transition "
    "eventvalue eventtype action notificationtype type event resolved active",
    "severity": "severity eventseverity triggerseverity alertseverity alertlevel level priority "
    "alertpriority urgency "
    "criticality impact",
    "category": "category alertcategory class",
    "title": "title summary alerttitle eventtitle subject headline shortdescription name alertname eventname "
    "problemtitle message text rulename triggername checkname conditionname output checkoutput",
    "description": "description details body message longdescription output text summary reason comment",
    "source.instance": "externalurl serverurl instanceurl orgname site account tenant orgid",
    "source.rule": "alertname rulename triggername monitorname checkname policyname ruleid rule check "
    "monitor condition",
    "resource.node": "host hostname node nodename server instance device computer entityname entity "
    "impactedentity "
    "resourcename resource target hostip ip component",
    "resource.component": "component job container pod process app application module subsystem disk interface",
    "resource.metric": "metric metricname measurement itemname item query",
    "resource.labels": "labels tags attributes",
    "service": "service servicename servicesummary businessservice application app product",
    "environment": "environment env stage",
    "startsAt": "startsat startedat starttime starttimestamp start begin began firstseen firstoccurrence "
    "triggeredat "
    "openedat problemstart laststatechange lasthardstatechange statechangedat createdat created since "
    "timestamp occurredat eventtime time date ts clock lastupdated",
    "endsAt": "endsat endedat endtime endtimestamp end resolvedat closedat recoveredat recoverytime problemend",
    "groupKey": "groupkey group aggregkey",
    "links.source": "generatorurl link url alerturl eventurl problemurl incidenturl monitorurl htmlurl "
    "permalink href "
    "detailsurl",
    "links.runbook": "runbookurl runbook playbook playbookurl instructions",
    "links.dashboard": "dashboardurl panelurl dashboard graphurl snapshoturl snapshot",
}

INCIDENT: Final[Mapping[str, str]] = {
    "correlationKey": "correlationid correlationkey externalid externalkey dedupkey externalreference "
    "customid key",
    "title": "shortdescription title summary subject headline name",
    "description": "description content body details text longdescription notes",
    "state": "state status phase stage",
    "holdReason": "holdreason onholdreason pendingreason",
    "impact": "impact",
    "urgency": "urgency",
    "priority": "priority prio rank",
    "severity": "severity",
    "category": "category type",
    "subcategory": "subcategory subtype",
    "service": "service businessservice affectedservice",
    "ci": "ci cmdbci configurationitem asset node host device",
    "environment": "environment env",
    "assignmentGroup": "assignmentgroup queue team group ownergroup assignedgroup",
    "assignee": "assignee assignedto owner",
    "caller": "caller callerid requester reporter",
    "openedAt": "openedat startedat createdat opened created occurredat starttime",
    "resolvedAt": "resolvedat closedat endedat resolved",
    "resolution.code": "resolutioncode closecode resolution",
    "resolution.notes": "resolutionnotes closenotes solution",
    "links.source": "url link sourceurl href",
}

MODELS: Final[Mapping[str, Mapping[str, str]]] = {"event": EVENT, "incident": INCIDENT}
"""Model → its fields → names that tools have for them."""

STATES: Final[Mapping[str, str]] = {
    "firing": "firing raised fire triggered trigger alert alerting alarm problem active open opened new "
    "down started raised "
    "failing failed critical warning error nok",
    "resolved": "resolved resolve ok recovered recovery closed close up normal cleared clear inactive ended "
    "healthy "
    "cancelled completed",
    "acknowledged": "acknowledged acknowledge ack acked inprogress investigating",
    "suppressed": "suppressed silenced muted maintenance snoozed downtime flapping downtimestart",
    "heartbeat": "heartbeat ping test",
}
"""State of an event → words of tools."""

SEVERITIES: Final[Mapping[str, str]] = {
    "critical": "critical crit fatal alert emergency emerg disaster page blocker availability p1 sev1",
    "major": "major high error err severe p2 sev2",
    "minor": "minor average medium moderate performance p3 sev3",
    "warning": "warning warn low p4 sev4",
    "info": "info information informational notice debug none custominfo p5 sev5",
    "clear": "clear cleared ok normal up",
    "unknown": "unknown notclassified undefined",
}
"""Severity of an event → words of tools."""

ENVIRONMENTS: Final[Mapping[str, str]] = {
    "production": "production prod prd live",
    "staging": "staging stage stg preprod",
    "test": "test tst qa uat",
    "development": "development dev",
    "dr": "dr disasterrecovery",
    "unknown": "unknown",
}
"""Environment → words of tools."""

WORDS: Final[Mapping[str, Mapping[str, Mapping[str, str]]]] = {
    "event": {"state": STATES, "severity": SEVERITIES, "environment": ENVIRONMENTS},
    "incident": {"severity": SEVERITIES},
}
"""Model → field with a closed list of values → value → words of tools for it."""

COMPANIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "state": (
        "firing resolved", "triggered acknowledged resolved", "triggered recovered",
        "trigger acknowledge resolve",
        "problem recovery ok", "alerting ok", "alert ok", "open acknowledged closed resolved", "opened closed",
        "active inactive", "down up", "new resolved", "critical ok", "alarm ok", "raised cleared",
        "critical warning ok", "down up unreachable",
    ),
    "severity": (
        "critical major minor warning info clear", "critical error warning info", "critical high medium low",
        "disaster high average warning information notclassified", "p1 p2 p3 p4 p5", "sev1 sev2 sev3 sev4 sev5",
        "emergency alert critical error warning notice info debug", "fatal error warn info",
        "page warning info none", "critical warning unknown ok",
    ),
    "environment": ("production staging test development", "prod staging test dev", "prd stg tst dev"),
}  # fmt: skip
"""Field → words that tools use together: where one is seen, the others will come."""

# What an event means for people, said by each rule of a draft.
MEANINGS: Final[Mapping[str, str]] = {
    "identityKey": "The same value is the same condition, however often it comes back.",
    "episodeKey": "One outbreak of a condition begins at one moment and ends with its recovery.",
    "state": "Tells whether it still hurts, so that a recovery resolves what an alert opened.",
    "severity": "How serious the tool finds it, in the words that the desk understands.",
    "category": "The kind of trouble decides first which team looks at it.",
    "title": "One line that a person can act on.",
    "description": "What the tool wanted the reader to know.",
    "source.tool": "Tells the responder which tool to open.",
    "source.instance": "Tells the responder which installation of the tool to open.",
    "source.rule": "Names the check, so that its author can be asked.",
    "resource.node": "The host or thing that hurts.",
    "resource.component": "The part of the host that hurts.",
    "resource.metric": "The figure that went out of bounds.",
    "resource.labels": "Everything the tool knows about the resource stays readable.",
    "service": "The business service tells who is hurt.",
    "environment": "Trouble in a test system is not trouble for customers.",
    "startsAt": "The trouble began when the tool first saw it.",
    "endsAt": "The trouble ended when the tool says so.",
    "groupKey": "The tool's own grouping helps to see what belongs together.",
    "links.source": "One click to where the tool shows it.",
    "links.runbook": "One click to what to do about it.",
    "links.dashboard": "One click to where it can be seen.",
    "correlationKey": "Finds the record again, so that one outbreak never becomes two.",
    "impact": "How much of the business is hit decides who has to be told.",
    "urgency": "How long it can wait decides when somebody has to look.",
    "priority": "What is worked on first follows from impact and urgency.",
    "assignmentGroup": "The team that works on it finds it among its own.",
    "ci": "Whoever looks sees at once which thing hurts.",
    "openedAt": "The interruption began when the alert began, not when the record was made.",
    "resolvedAt": "The service was back when the alert ended.",
    "resolution.code": "How it ended is what the desk reports on.",
    "resolution.notes": "Tells a later reader how it ended.",
}
"""Field of a model → what a rule for it means for the business."""
