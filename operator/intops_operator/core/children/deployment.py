"""The Deployment that runs the worker of a Flow or of a pool, under the restricted pod security standard.

Called by `children.desired`. The pod template holds only what needs a restart: a new plan arrives
through the ConfigMap volume and restarts nothing.
"""

from typing import Final

from intops_api import names
from intops_operator.core.children.worker import (
    DATA_DIR,
    PLANS_DIR,
    SECRETS_DIR,
    USER_ID,
    Crew,
    Manifest,
    metadata,
)

# While a pod that must go still captures, endpoints are updated.
LAST_CAPTURE_S: Final = 2
# 2 s of the above, 30 s in which the worker drains, and room to close its store.
TERMINATION_GRACE_S: Final = 45
PROGRESS_DEADLINE_S: Final = 120
# Kubernetes' default `terminationMessagePath`: what is written there shows in the pod's status.
LAST_WORDS: Final = "/dev/termination-log"

REQUESTS: Final = {"cpu": "50m", "memory": "96Mi"}
LIMITS: Final = {"memory": "512Mi"}


def worker_deployment(worker: Crew) -> Manifest:
    """The manifest."""
    spec: Manifest = {
        "replicas": worker.replicas,
        "revisionHistoryLimit": 2,
        "progressDeadlineSeconds": PROGRESS_DEADLINE_S,
        "selector": {"matchLabels": worker.selector},
        "strategy": {"type": "Recreate"}
        if worker.is_embedded
        else {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
        "template": {"metadata": {"labels": worker.labels}, "spec": worker_pod(worker)},
    }
    meta = metadata(worker)
    if worker.shape.notes:
        meta["annotations"] = dict(worker.shape.notes)
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": spec}


def worker_pod(worker: Crew) -> Manifest:
    """The spec of its pods."""
    pod: Manifest = {
        "serviceAccountName": worker.name,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": TERMINATION_GRACE_S,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER_ID,
            "runAsGroup": USER_ID,
            "fsGroup": USER_ID,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(worker)],
        "volumes": _volumes(worker),
    }
    if worker.settings.pull_secrets:
        pod["imagePullSecrets"] = [{"name": name} for name in worker.settings.pull_secrets]
    if worker.settings.priority_class:
        pod["priorityClassName"] = worker.settings.priority_class
    if not worker.is_embedded:
        # Zones first, then nodes; each generation of pods by itself, or one that rolls leans on the one that goes.
        pod["topologySpreadConstraints"] = [
            {
                "maxSkew": 1,
                "topologyKey": key,
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": worker.selector},
                "matchLabelKeys": ["pod-template-hash"],
            }
            for key in ("topology.kubernetes.io/zone", "kubernetes.io/hostname")
        ]
    return pod


def _container(worker: Crew) -> Manifest:
    asked = worker.runtime.resources
    mounts = [
        {"name": "plan", "mountPath": worker.plans.mount, "readOnly": True},
        {"name": "data", "mountPath": DATA_DIR},
        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108  a path in the pod
        *(
            {"name": f"secret-{at}", "mountPath": f"{SECRETS_DIR}/{name}", "readOnly": True}
            for at, name in enumerate(worker.secrets)
        ),
    ]
    return {
        "name": "worker",
        "image": worker.shape.image or worker.settings.image,
        "imagePullPolicy": worker.settings.pull_policy,
        "command": ["intops-worker"],
        "args": [
            f"--plans={PLANS_DIR}",
            f"--secrets={SECRETS_DIR}",
            f"--data={DATA_DIR}",
            "--capture-host=0.0.0.0",
            f"--capture-port={names.PORT_CAPTURE}",
            f"--operations-port={names.PORT_OPERATIONS}",
            f"--console-port={names.PORT_CONSOLE}",
            f"--last-words={LAST_WORDS}",
            *(f"--allow-range={network}" for network in worker.settings.allow_ranges),
            *(f"--deny-range={network}" for network in worker.settings.deny_ranges),
            *worker.flags,
        ],
        "ports": [
            {"name": "capture", "containerPort": names.PORT_CAPTURE, "protocol": "TCP"},
            {"name": "operations", "containerPort": names.PORT_OPERATIONS, "protocol": "TCP"},
        ],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "resources": {
            "requests": {**REQUESTS, **(asked.requests if asked else {})},
            "limits": {**LIMITS, **(asked.limits if asked else {})},
        },
        "startupProbe": _probe("/healthz", period_s=1, failures=120),
        "livenessProbe": _probe("/healthz", period_s=10, failures=6),
        "readinessProbe": _probe("/readyz", period_s=2, failures=2),
        "lifecycle": {"preStop": {"sleep": {"seconds": LAST_CAPTURE_S}}},
        "volumeMounts": mounts,
    }


def _probe(path: str, *, period_s: int, failures: int) -> Manifest:
    return {
        "httpGet": {"path": path, "port": "operations"},
        "periodSeconds": period_s,
        "timeoutSeconds": 3,
        "failureThreshold": failures,
    }


def _volumes(worker: Crew) -> list[Manifest]:
    data: Manifest = {"name": "data"}
    if worker.is_embedded:
        data["persistentVolumeClaim"] = {"claimName": worker.name}
    else:
        data["emptyDir"] = {"sizeLimit": "64Mi"}
    return [
        {"name": "plan", **worker.plans.source},
        data,
        {"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}},
        *(
            # Optional: a missing one would keep the pod from starting, and nobody could report it.
            {"name": f"secret-{at}", "secret": {"secretName": name, "optional": True}}
            for at, name in enumerate(worker.secrets)
        ),
    ]
