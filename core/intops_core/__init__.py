"""What resources mean, pure: expressions, Mappings, rules, planning, the shipped catalogue."""
