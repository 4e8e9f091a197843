"""Random input that is nearly right: what a fuzzing test draws from a seed. Used by tests/fault/test_fuzz*.py."""
