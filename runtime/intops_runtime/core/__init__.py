"""What the worker decides: pure values and functions."""
