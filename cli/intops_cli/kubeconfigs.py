"""What kubeconfigs say about their contexts, also where none of them is the current one.

Used by `cluster_requests`, and for completion. Without a path the files that kubectl would read are meant.
"""

from typing import Any, Final

import yaml
from kubernetes.config import kube_config
from kubernetes.config.config_exception import ConfigException

from intops_cli.manifests import DEFAULT_NAMESPACE

UNREADABLE: Final = (ConfigException, OSError, yaml.YAMLError)
"""What reading a kubeconfig raises."""


def context_names(kubeconfig: str | None) -> list[str]:
    """Names of all contexts.

    Raises:
        ConfigException, OSError, yaml.YAMLError: there is no kubeconfig, or it is none.
    """
    return [str(one["name"]) for one in _read(kubeconfig)["contexts"].value]


def namespace_of(kubeconfig: str | None, context: str | None) -> str:
    """The namespace of a context, or of the current one, as kubectl takes it.

    Raises:
        ConfigException, OSError, yaml.YAMLError: as `context_names`, or there is no such context.
    """
    read = _read(kubeconfig)
    chosen = read["contexts"].get_with_name(context or read["current-context"])
    return str(chosen["context"].safe_get("namespace") or DEFAULT_NAMESPACE)


def _read(kubeconfig: str | None) -> Any:
    merger: Any = kube_config.KubeConfigMerger  # the library says nothing of types
    found = merger(kubeconfig or kube_config.KUBE_CONFIG_DEFAULT_LOCATION).config
    if found is None:
        raise ConfigException("Invalid kube-config file. No configuration found.")
    return found
