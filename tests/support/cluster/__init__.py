"""A real Kubernetes for the suite and for `make cluster`: a control plane alone, or one whole node.

Used by the fixtures of tests/cluster and by `python -m support.cluster`. Nothing of the product is
imported here: the harness has to work while the product does not.
"""
