"""Reading the configuration of a run: TOML, inheritance, environment variables, ``--set``.

A configuration is read in this order:

1. ``extends = "other.toml"`` at the top: that file is read first (beside this one, or packaged
   with sanreid), then this one over it, table by table. A list replaces a list.
2. Each ``--set key.sub=value``: the value is TOML (``3``, ``true``, ``"text"``, ``[1, 2]``), or
   plain text if it is not valid TOML. A number in a key is an index: ``data.sources.0.folder``.
3. ``${NAME}`` in any text is replaced by that environment variable.
4. Every key must be a field of :class:`sanreid.train.config.TrainConfig`, with its type.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
import types
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, fields, is_dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from sanreid.config import EncoderConfig
from sanreid.errors import ConfigError
from sanreid.train.config import TrainConfig
from sanreid.train.config.extensions import import_extensions

__all__ = ["config_from_dict", "config_to_dict", "load_config", "override", "packaged_configs"]

_VARIABLE = re.compile(r"\$\{(\w+)\}")
_RENAMED = {("loss.tr_pairing", "fixed_places"): "fixed_positions"}  # values that are still read


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> TrainConfig:
    """Read a TOML file, or one packaged with sanreid by its name, and apply ``overrides``.

    Args:
        path: A file, or the name of a packaged one (``"cpu-minutes"``).
        overrides: Texts of the form ``key.sub=value``.

    Raises:
        ConfigError: The file cannot be read, or a key or value is wrong.
    """
    values = _read(_find(str(path), beside=None), seen=())
    for override in overrides:
        _apply(values, override)
    return config_from_dict(_expand(values, ""))


def override(config: TrainConfig, overrides: Sequence[str]) -> TrainConfig:
    """Return ``config`` with some settings changed, as ``--set`` changes them."""
    values = config_to_dict(config)
    for one in overrides:
        _apply(values, one)
    return config_from_dict(_expand(values, ""))


def packaged_configs() -> list[str]:
    """Return the names of the configurations packaged with sanreid."""
    folder = resources.files("sanreid.train.config") / "presets"
    return sorted(
        f.name.removesuffix(".toml") for f in folder.iterdir() if f.name.endswith(".toml")
    )


def config_from_dict(values: Mapping[str, Any]) -> TrainConfig:
    """Build and validate the dataclasses from nested plain values.

    The modules of ``run.imports`` are imported first.

    Raises:
        ConfigError: A key is unknown, has the wrong type or is out of range; the message names it.
    """
    import_extensions(values)
    config: TrainConfig = _build(TrainConfig, values, "")
    return config


def config_to_dict(config: TrainConfig) -> dict[str, Any]:
    """Return nested plain values from which :func:`config_from_dict` builds the same."""
    plain: dict[str, Any] = _plain(asdict(config))
    return plain


def _find(name: str, *, beside: Path | None) -> Path:
    here = Path(name) if beside is None else beside.parent / name
    if here.is_file():
        return here
    stem = name.removesuffix(".toml")
    if stem in packaged_configs():
        return Path(str(resources.files("sanreid.train.config") / "presets" / f"{stem}.toml"))
    raise ConfigError(
        f"There is no configuration {name!r}: no such file, and none of the packaged ones "
        f"({', '.join(packaged_configs())})."
    )


def _read(path: Path, *, seen: tuple[Path, ...]) -> dict[str, Any]:
    if path.resolve() in seen:
        raise ConfigError(f"{path}: 'extends' leads back to the same file.")
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path} cannot be read as TOML: {error}") from error
    parent = values.pop("extends", None)
    if parent is None:
        return values
    if not isinstance(parent, str):
        raise ConfigError(f"{path}: 'extends' must be the name of a file; got {parent!r}.")
    base = _read(_find(parent, beside=path), seen=(*seen, path.resolve()))
    return _merged(base, values)


def _merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    result = dict(base)
    for key, value in over.items():
        if isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = _merged(result[key], value)
        else:
            result[key] = value
    return result


def _apply(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        raise ConfigError(
            f"--set takes key=value, for example optimizer.lr=1e-4; got {override!r}."
        )
    node: Any = values
    *parents, last = key.strip().split(".")
    for name in parents:
        node = _step(node, name, override)
    if isinstance(node, list):
        node[_list_index(node, last, override)] = _toml_value(text)
    else:
        node[last] = _toml_value(text)


def _step(node: Any, name: str, override: str) -> Any:  # noqa: ANN401 - a tree of TOML values
    child = (
        node[_list_index(node, name, override)]
        if isinstance(node, list)
        else node.setdefault(name, {})
    )
    if not isinstance(child, dict | list):
        raise ConfigError(f"--set {override}: {name!r} is a value, not a table.")
    return child


def _list_index(items: list[Any], name: str, override: str) -> int:
    if not name.isdecimal() or int(name) >= len(items):
        raise ConfigError(
            f"--set {override}: {name!r} is not an index in a list of {len(items)} (from 0)."
        )
    return int(name)


def _toml_value(text: str) -> Any:  # noqa: ANN401 - any TOML value
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text.strip()


def _expand(value: Any, key: str) -> Any:  # noqa: ANN401 - a tree of TOML values
    if isinstance(value, dict):
        return {name: _expand(item, f"{key}.{name}".lstrip(".")) for name, item in value.items()}
    if isinstance(value, list):
        return [_expand(item, f"{key}.{index}") for index, item in enumerate(value)]
    if not isinstance(value, str):
        return value

    def variable(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in os.environ:
            raise ConfigError(
                f"{key} refers to the environment variable {name}, which is not set: "
                f"set it, or set the value with --set {key}=..."
            )
        return os.environ[name]

    text = _VARIABLE.sub(variable, value)
    return os.path.expanduser(text) if text.startswith("~/") else text  # noqa: PTH111 - not each is a path


def _build(kind: Any, values: Any, path: str) -> Any:  # noqa: ANN401 - any of the dataclasses
    where = path or "the configuration"
    if not isinstance(values, Mapping):
        raise ConfigError(f"{where} must be a table; got {values!r}.")
    hints = get_type_hints(kind)
    known = [one.name for one in fields(kind)]
    arguments = {}
    for key, value in values.items():
        full = f"{path}.{key}".lstrip(".")
        if key not in known:
            raise ConfigError(_unknown(key, full, known, where))
        arguments[key] = _convert(value, hints[key], full)
    try:
        return kind(**arguments)
    except ConfigError as error:
        prefix = f"{path}: " if kind is EncoderConfig else ""
        raise ConfigError(f"{prefix}{error}") from None
    except TypeError:
        missing = [
            one.name for one in fields(kind) if one.name not in values and _is_required(one)
        ]
        raise ConfigError(f"{where} lacks {', '.join(missing)}.") from None


def _unknown(key: str, full: str, known: Sequence[str], where: str) -> str:
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    if not near:
        return f"Unknown key {full!r}. Keys of {where}: {', '.join(known)}."
    return f"Unknown key {full!r}. Did you mean {full.removesuffix(key) + near[0]!r}?"


def _is_required(one: Any) -> bool:  # noqa: ANN401 - dataclasses.Field

    return one.default is MISSING and one.default_factory is MISSING


def _convert(value: Any, hint: Any, path: str) -> Any:  # noqa: ANN401 - one case per kind
    origin = get_origin(hint)
    if is_dataclass(hint):
        return _build(hint, value, path)
    if origin is Literal:
        value = _RENAMED.get((path, value), value) if isinstance(value, str) else value
        if value not in get_args(hint):
            choices = ", ".join(repr(choice) for choice in get_args(hint))
            raise ConfigError(f"{path} must be one of {choices}; got {value!r}.")
        return value
    if origin is tuple:
        return _convert_tuple(value, get_args(hint), path)
    if origin is Mapping:
        if not isinstance(value, Mapping):
            raise ConfigError(f"{path} must be a table; got {value!r}.")
        kind = get_args(hint)[1]
        return {key: _convert(one, kind, f"{path}.{key}") for key, one in value.items()}
    if origin in {Union, types.UnionType}:
        raise AssertionError(f"{path}: unions are not used in the configuration")
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not hint:
        names = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
        raise ConfigError(f"{path} must be {names.get(hint, hint)}; got {value!r}.")
    return value


def _convert_tuple(value: Any, kinds: tuple[Any, ...], path: str) -> tuple[Any, ...]:  # noqa: ANN401
    if not isinstance(value, list | tuple):
        raise ConfigError(f"{path} must be a list; got {value!r}.")
    if kinds[-1] is Ellipsis:
        return tuple(_convert(one, kinds[0], f"{path}.{n}") for n, one in enumerate(value))
    if len(value) != len(kinds):
        raise ConfigError(f"{path} must be a list of {len(kinds)}; got {value!r}.")
    pairs = zip(value, kinds, strict=True)
    return tuple(_convert(one, kind, f"{path}.{n}") for n, (one, kind) in enumerate(pairs))


def _plain(value: Any) -> Any:  # noqa: ANN401 - a tree of plain values
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
