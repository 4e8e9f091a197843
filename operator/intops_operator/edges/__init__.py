"""Where the control plane touches the world: API server, workers, lease, certificates."""
