"""The control plane: watches the kinds, turns each Flow into a worker, and writes what is true.

Started by `python -m intops_operator`; `__main__` wires the parts.
"""
