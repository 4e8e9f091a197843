"""A worker as a process of its own, for component and fault tests."""
