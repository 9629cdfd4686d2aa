"""Addresses of galleries on Milvus.

::

    milvus://[TOKEN@]HOST[:PORT][/DATABASE]/NAME[?consistency=...&timeout=...]
    milvus+tls://...[?ca=FILE]
    milvus-lite:///PATH.db[?name=NAME]

TOKEN is an API key or ``user:password``, percent-encoded where it has special characters; without
one the environment variable ``MILVUS_TOKEN`` is used. It is in no message and no repr.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

from sanreid.errors import InputError
from sanreid.utils.arguments import check_choice
from sanreid.utils.arrays import shown

__all__ = ["Address", "is_address", "parse_address"]

CONSISTENCIES = {"session": "Session", "strong": "Strong", "bounded": "Bounded"}

_SCHEME = re.compile(r"(milvus(?:\+tls|-lite)?):(?=/|[^/]*\.db)")
_SERVER = re.compile(
    r"/{1,2}(?:(?P<token>[^/?]*)@)?(?P<host>\[[^\]/?]*\]|[^/:?@]+)(?::(?P<port>\d{1,5}))?"
    r"(?:/(?P<database>[^/?@]+))?/(?P<name>[^/?@]+)"
)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,199}")
_EXAMPLES = '"milvus://host:19530/people" or "milvus-lite:///path/people.db"'
_TIMEOUT = 60.0


@dataclass(frozen=True, slots=True)
class Address:
    """Where a gallery is.

    Attributes:
        uri: What the client connects to: a URL, or the file of Milvus Lite.
        name: The collection.
        shown: The address for people to read, without the token.
        token: The API key, or ``user:password``; empty for none.
        database: Empty for the default one.
        ca: A file of certificates to trust; empty for the system's.
        consistency: Milvus's name for how fresh reads are.
        timeout: Seconds that one call may take.
        is_lite: Whether it is Milvus Lite, in this process.
    """

    uri: str
    name: str
    shown: str
    token: str = field(default="", repr=False)
    database: str = ""
    ca: str = ""
    consistency: str = "Session"
    timeout: float = _TIMEOUT
    is_lite: bool = False


def is_address(path: object) -> bool:
    """Return whether a path is the address of a gallery on Milvus."""
    return isinstance(path, (str, Path)) and _SCHEME.match(str(path)) is not None


def parse_address(path: str | os.PathLike[str]) -> Address:
    """Read an address; one that went through :class:`~pathlib.Path` lost a slash, and is read too.

    Raises:
        InputError: It is not an address; the message shows it without its token.
    """
    text = os.fspath(path)
    scheme, _, rest = text.partition(":")
    return _lite(rest) if scheme == "milvus-lite" else _server(scheme, rest)


def _lite(rest: str) -> Address:
    rest, _, query = rest.partition("?")
    options = _options(query)
    name = options.pop("name", "gallery")
    _check_rest(options)
    file = Path(unquote(rest.removeprefix("//"))).expanduser()
    if file.suffix != ".db":
        raise InputError(
            f"The file of Milvus Lite ends in .db; got {str(file)!r}. Examples: {_EXAMPLES}."
        )
    file = file.resolve()
    return Address(str(file), _checked(name), f"milvus-lite://{file}?name={name}", is_lite=True)


def _server(scheme: str, rest: str) -> Address:
    before, _, query = rest.partition("?")
    match, options = _SERVER.fullmatch(before), _options(query)
    if match is None:
        raise InputError(
            f"The address {scheme}:{_without_token(rest)!r} does not name a host and a gallery. "
            f"Examples: {_EXAMPLES}; / and ? of a token are written %2F and %3F."
        )
    secure = scheme == "milvus+tls"
    ca = options.pop("ca", "")
    if ca and not secure:
        raise InputError("ca is a file of certificates for milvus+tls://; this is milvus://.")
    consistency = options.pop("consistency", "session")
    check_choice(consistency, "consistency", CONSISTENCIES)
    timeout = options.pop("timeout", str(_TIMEOUT))
    if not re.fullmatch(r"\d{1,6}(\.\d+)?", timeout) or float(timeout) <= 0:
        raise InputError(f"timeout is seconds above 0; got {shown(timeout)}.")
    _check_rest(options)
    token = match["token"]
    token = os.environ.get("MILVUS_TOKEN", "") if token is None else unquote(token)
    place = f"{match['host']}:{match['port'] or 19530}"
    name, database = _checked(match["name"]), match["database"] or ""
    return Address(
        uri=f"{'https' if secure else 'http'}://{place}",
        name=name,
        shown=f"{scheme}://{place}/{database}{'/' if database else ''}{name}",
        token=token,
        database=_checked(database) if database else "",
        ca=ca,
        consistency=CONSISTENCIES[consistency],
        timeout=float(timeout),
    )


def _options(query: str) -> dict[str, str]:
    options = {}
    for part in query.split("&") if query else []:
        key, _, value = part.partition("=")
        options[key] = unquote(value)
    return options


def _check_rest(options: dict[str, str]) -> None:
    if options:
        raise InputError(
            f"The address has unknown options: {', '.join(sorted(options))}. Known for a server: "
            "ca, consistency, timeout; for Milvus Lite: name."
        )


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise InputError(
            f"Names on Milvus have letters, digits and _, and begin with no digit; got {name!r}."
        )
    return name


def _without_token(rest: str) -> str:
    return re.sub(r"^(/*).*@", r"\1...@", rest)  # up to the last @: a token may have / and ?
