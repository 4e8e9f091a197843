"""The `intops` command: the same manifests, rules, plans and worker as in a cluster, for people at a desk."""
