"""Functions that expressions have beyond standard CEL. Used by both kinds of environment.

From the engine: the strings extension (lowerAscii, upperAscii, trim, split, join,
replace, substring, indexOf, charAt, format, reverse) and optional values (`a.?b`, `a[?k]`, `.orValue(x)`).

Our own:

- `sha256(string) -> string`: the first 32 hexadecimal digits of the SHA-256 of the UTF-8 text.
  It makes a key of fixed length from texts that are too long for a target's key field.
- `percentDecode(string) -> string`: the text with `%20` and the like read as the UTF-8 that they stand for.
  It reads header values, which carry other than plain ASCII in this form; what is no code stays as it is.
"""

import hashlib
from typing import Final
from urllib.parse import unquote

from cel_expr_python import cel
from cel_expr_python.ext import ext_optional, ext_strings


def sha256(text: str) -> str:
    """First 32 hexadecimal digits (128 bits) of the SHA-256 of a text.

    >>> sha256("")
    'e3b0c44298fc1c149afbf4c8996fb924'
    """
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def percent_decode(text: str) -> str:
    """A text whose percent codes are read as UTF-8; bytes that are none become replacement characters.

    >>> percent_decode("caf%C3%A9%20100%")
    'café 100%'
    """
    return unquote(text)


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
    cel.FunctionDecl(
        "percentDecode",
        [
            cel.Overload(
                "percent_decode_string",
                return_type=cel.Type.STRING,
                parameters=[cel.Type.STRING],
                impl=percent_decode,
            )
        ],
    ),
)
