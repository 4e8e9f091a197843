"""The data plane of intops: capture, store, stages, delivery. Knows nothing of Kubernetes."""
