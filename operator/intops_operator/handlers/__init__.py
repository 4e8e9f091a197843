"""Translation from the event feed to the cache. The only folder that imports kopf."""
