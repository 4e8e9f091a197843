"""First drafts of manifests, proposed from samples and from what is known: what `intops new` prints. Pure."""
