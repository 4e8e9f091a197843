"""CRDs and their reference pages, generated from the models so that they cannot disagree with them.

`python -m intops_api.schema.generate` writes them; the suite and `make check` see that they are fresh.
"""
