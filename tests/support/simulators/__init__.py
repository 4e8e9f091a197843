"""Stand-ins for systems that cannot be had, and for faults the real ones cannot show."""
