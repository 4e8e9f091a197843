"""What the control plane decides: children, conditions, when to write. Values in, values out."""
