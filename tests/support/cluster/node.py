"""containerd, kubelet and kube-proxy: the part of a cluster that runs pods.

onenode.py starts it after the control plane. Needs root on Linux; a control plane without a node
is controlplane.py. Every path is below the cluster's directory, so removing it is complete.
"""

from __future__ import annotations

import json
import shutil
import signal
from dataclasses import dataclass
from pathlib import Path

from support.cluster import binaries, cleanup
from support.cluster.controlplane import ControlPlane
from support.cluster.kubectl import Manifest, condition
from support.cluster.network import Network, run
from support.cluster.polling import HarnessError, until
from support.cluster.services import Service, stop

NAME = "node1"
PAUSE = "localhost/pause:1"
SOCKET_PATH_BYTES = 107
"""sun_path of unix(7) holds 108 bytes, the last of which ends the string."""

VOLUMES = 24
"""PersistentVolumes made in advance: no provisioner runs here."""


@dataclass(frozen=True, slots=True)
class Node:
    """The one node of a cluster."""

    plane: ControlPlane
    network: Network

    @property
    def state(self) -> Path:
        """The cluster's directory."""
        return self.plane.state

    @property
    def socket(self) -> Path:
        """Where containerd listens."""
        return self.state / "containerd.sock"

    @property
    def services(self) -> list[Service]:
        """The programs, in the order in which they start."""
        return [self._containerd(), self._kubelet(), self._kube_proxy()]

    def start_containerd(self) -> None:
        """Start containerd and wait until it answers; images can be imported then."""
        if len(f"{self.socket}.ttrpc") > SOCKET_PATH_BYTES:
            raise HarnessError(
                f"{self.socket} is too long for a socket; set XDG_CACHE_HOME to a shorter directory"
            )
        self._write_containerd_config()
        containerd = self._containerd()
        containerd.start()

        def answers() -> bool:
            containerd.must_live()
            try:
                run(*self.ctr("version"))
            except HarnessError:
                return False
            return True

        until(answers, "containerd to answer", explain=containerd.tail)

    def ctr(self, *arguments: str) -> tuple[str, ...]:
        """A ctr command for the containers of this node."""
        return ("ctr", "--address", str(self.socket), "--namespace", "k8s.io", *arguments)

    def import_image(self, archive: Path) -> None:
        """Make the images of an OCI archive available to pods of this node."""
        run(*self.ctr("images", "import", str(archive)))

    def remove_image(self, reference: str) -> None:
        """Take an image away; containers that run go on, others cannot start any more."""
        run(*self.ctr("images", "rm", "--sync", reference))

    def cut_power(self) -> None:
        """End everything that runs on the node at once: kubelet, kube-proxy, containerd, all containers.

        `start_containerd` and `start` switch it on again. Its disk is as it was.
        """
        stop(self.state, "kubelet", "kube-proxy", signals=(signal.SIGKILL,))
        cleanup.end_containers(self.socket, self.state / "containerd-run")
        stop(self.state, "containerd", signals=(signal.SIGKILL,))

    def start(self) -> None:
        """Start kubelet and kube-proxy, and wait until the node takes pods.

        Raises:
            HarnessError: A program ended, or the node did not become ready.
        """
        self._write_kubelet_config()
        self._write_proxy_config()
        kubelet, proxy = self._kubelet(), self._kube_proxy()
        kubelet.start()
        proxy.start()
        ready = condition("Ready")

        def takes_pods() -> bool:
            kubelet.must_live()
            proxy.must_live()
            done = self.plane.kubectl.try_run("get", "node", NAME, "-o", "json")
            return done.returncode == 0 and ready(json.loads(done.stdout))

        until(takes_pods, "the node to be ready", timeout_s=90, every_s=0.25, explain=kubelet.tail)
        self.provide_volumes()

    def provide_volumes(self) -> None:
        """Make the default StorageClass and empty volumes; replace those that were released.

        `local` volumes, not hostPath: only they honour a pod's fsGroup, as real storage does.
        """
        storage_class: Manifest = {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {
                "name": "local",
                "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
            },
            "provisioner": "kubernetes.io/no-provisioner",
            "volumeBindingMode": "WaitForFirstConsumer",
        }
        kubectl = self.plane.kubectl
        found = {one["metadata"]["name"]: one for one in kubectl.get("persistentvolumes")["items"]}
        used_up = [
            name
            for name, one in found.items()
            if one["status"].get("phase") in ("Released", "Failed")
        ]
        if used_up:
            kubectl.run("delete", "persistentvolume", "--wait=true", *used_up)
        wanted = []
        for number in range(VOLUMES):
            name = f"local-{number:02}"
            if name in found and name not in used_up:
                continue
            directory = self.state / "volumes" / name
            shutil.rmtree(directory, ignore_errors=True)
            directory.mkdir(parents=True)
            wanted.append(_volume(name, directory))
        kubectl.apply(storage_class, *wanted)

    def _write_containerd_config(self) -> None:
        net_d = self.state / "cni"
        net_d.mkdir(parents=True, exist_ok=True)
        cni = {
            "cniVersion": "0.4.0",
            "name": self.network.namespace,
            "plugins": [
                {
                    "type": "bridge",
                    "bridge": "cni0",
                    "isGateway": True,
                    "hairpinMode": True,
                    "ipam": {
                        "type": "host-local",
                        "ranges": [[{"subnet": self.network.node_pods}]],
                        "routes": [{"dst": "0.0.0.0/0"}],
                        "dataDir": str(self.state / "cni-addresses"),
                    },
                },
                {"type": "portmap", "capabilities": {"portMappings": True}},
            ],
        }
        (net_d / "10-bridge.conflist").write_text(json.dumps(cni))
        # restrict_oom_score_adj: without CAP_SYS_RESOURCE runc cannot lower the sandbox's score
        # and dies with "can't get final child's PID from pipe".
        (self.state / "containerd.toml").write_text(f"""\
version = 2
root = "{self.state}/containerd"
state = "{self.state}/containerd-run"
[grpc]
address = "{self.socket}"
[plugins."io.containerd.internal.v1.opt"]
path = "{self.state}/containerd-opt"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{PAUSE}"
restrict_oom_score_adj = true
netns_mounts_under_state_dir = true
stream_server_address = "127.0.0.1"
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "overlayfs"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
Root = "{self.state}/runc"
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "{net_d}"
""")

    def _write_kubelet_config(self) -> None:
        config = {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": self.network.node,
            "healthzBindAddress": "127.0.0.1",
            "readOnlyPort": 0,
            "authentication": {
                "x509": {"clientCAFile": str(self.plane.authority.ca.cert)},
                "anonymous": {"enabled": False},
            },
            "containerRuntimeEndpoint": f"unix://{self.socket}",
            "cgroupDriver": "cgroupfs",
            # Old hosts and containers have version 1 only; pods run there all the same.
            "failCgroupV1": False,
            "cgroupsPerQOS": False,
            "enforceNodeAllocatable": [],
            "failSwapOn": False,
            "resolvConf": "/etc/resolv.conf",
            # A full disk of the developer's is no reason to evict; collected images would be
            # missing for good, as no registry has them.
            "evictionHard": {"memory.available": "50Mi", "nodefs.available": "1%",
                             "imagefs.available": "1%"},
            "imageGCHighThresholdPercent": 100,
            "imageGCLowThresholdPercent": 99,
            "podLogsDir": str(self.state / "pod-logs"),
            "volumePluginDir": str(self.state / "volume-plugins"),
            "syncFrequency": "10s",
        }  # fmt: skip
        (self.state / "kubelet.json").write_text(json.dumps(config))

    def _write_proxy_config(self) -> None:
        config = {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "mode": "nftables",
            "clientConnection": {
                "kubeconfig": str(self.plane.component_kubeconfig("kube-proxy")),
            },
            "hostnameOverride": NAME,
            "clusterCIDR": self.network.pods,
            # The machine's own limits stay; they are not writable in every container anyway.
            "conntrack": {"maxPerCore": 0},
            "healthzBindAddress": "127.0.0.1:10256",
            "metricsBindAddress": "127.0.0.1:10249",
        }
        file, text = self.state / "kube-proxy.json", json.dumps(config)
        # kube-proxy ends when its file is written, even with what it says already.
        if not file.exists() or file.read_text() != text:
            file.write_text(text)

    def _containerd(self) -> Service:
        argv = ("containerd", "--config", str(self.state / "containerd.toml"))
        return Service("containerd", (*self.network.enter, *argv), self.state)

    def _kubelet(self) -> Service:
        kubeconfig = self.plane.component_kubeconfig(f"node:{NAME}", groups=("system:nodes",))
        return Service(
            "kubelet",
            (
                *self.network.enter,
                str(binaries.path("kubelet")),
                f"--config={self.state / 'kubelet.json'}",
                f"--kubeconfig={kubeconfig}",
                f"--hostname-override={NAME}",
                f"--root-dir={self.state / 'kubelet'}",
                f"--cert-dir={self.state / 'kubelet-pki'}",
                f"--node-ip={self.network.node}",
            ),
            self.state,
        )

    def _kube_proxy(self) -> Service:
        config = f"--config={self.state / 'kube-proxy.json'}"
        return Service(
            "kube-proxy",
            (*self.network.enter, str(binaries.path("kube-proxy")), config),
            self.state,
        )


def _volume(name: str, directory: Path) -> Manifest:
    """One empty PersistentVolume on the node's disk."""
    here = {"key": "kubernetes.io/hostname", "operator": "In", "values": [NAME]}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "capacity": {"storage": "10Gi"},
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "local",
            "persistentVolumeReclaimPolicy": "Retain",
            "local": {"path": str(directory)},
            "nodeAffinity": {
                "required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]},
            },
        },
    }
