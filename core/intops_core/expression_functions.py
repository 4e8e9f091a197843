"""Functions that expressions have beyond standard CEL. Used by both kinds of environment.

From the engine: the strings extension (lowerAscii, upperAscii, trim, split, join,
replace, substring, indexOf, charAt, format, reverse) and optional values (`a.?b`, `a[?k]`, `.orValue(x)`).

Our own:

- `sha256(string) -> string`: the first 32 hexadecimal digits of the SHA-256 of the UTF-8 text.
  It makes a key of fixed length from texts that are too long for a target's key field.
"""

import hashlib
from typing import Final

from cel_expr_python import cel
from cel_expr_python.ext import ext_optional, ext_strings


def sha256(text: str) -> str:
    """First 32 hexadecimal digits (128 bits) of the SHA-256 of a text.

    >>> sha256("")
    'e3b0c44298fc1c149afbf4c8996fb924'
    """
    return hashlib.sha256(text.encode()).hexdigest()[:32]


EXTENSIONS: Final = (ext_strings.ExtStrings(), ext_optional.ExtOptional())
FUNCTIONS: Final = (
    cel.FunctionDecl(
        "sha256",
        [
            cel.Overload(
                "sha256_string",
                return_type=cel.Type.STRING,
                parameters=[cel.Type.STRING],
                impl=sha256,
            )
        ],
    ),
)
