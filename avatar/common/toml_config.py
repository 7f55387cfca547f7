"""Frozen dataclasses read from and written to TOML; an unknown key or a wrong type is an error with a suggestion."""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, Union

from avatar.common.files import atomic_path
from avatar.common.jsonable import shortened
from avatar.errors import HeadsplatError

if typing.TYPE_CHECKING:
    import tomli as toml_reader
else:
    try:
        import tomllib as toml_reader
    except ModuleNotFoundError:  # Python 3.10
        import tomli as toml_reader

Config = TypeVar("Config")

#: A file with every setting has 2 KB.
MAX_BYTES = 1 << 14
#: An installed wheel has the presets inside the package, a checkout next to it.
PRESET_FOLDERS = (Path(__file__).parents[1] / "configs", Path(__file__).parents[2] / "configs")


def load_config(path: str | Path, base: Config) -> Config:
    """`base` updated with the values of the TOML file `path`; tables update nested dataclasses.

    Args:
        path: a TOML file that names only what differs from `base`.
        base: an instance of a frozen dataclass.

    Raises:
        HeadsplatError: missing or malformed file, unknown key (with the nearest known one), wrong type or value.
    """
    return apply_values(base, read_toml(Path(path)), str(path))


def read_toml(
    path: Path,
    kind: str = "configuration file",
    advice: str = "check the path given to --config",
    most: int = MAX_BYTES,
) -> Any:
    """The table [str, Any] in the TOML file `path`.

    Args:
        path: the file.
        kind: what the file should be, for error messages.
        advice: what to do where it does not exist.
        most: bytes that it may have.

    Raises:
        HeadsplatError: missing, malformed or too large.
    """
    try:
        return toml_reader.loads(_text(path, kind, most))
    except FileNotFoundError as error:
        raise HeadsplatError(f"{path}: no such {kind}; {advice}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise HeadsplatError(f"{path}: cannot read the {kind} ({error})") from error
    except toml_reader.TOMLDecodeError as error:
        raise HeadsplatError(f"{path}: not valid TOML ({error}); correct that line") from error
    except (RecursionError, ValueError) as error:  # deep nesting; an integer of thousands of digits
        raise HeadsplatError(f"{path}: not a {kind} ({str(error)[:80]}); give settings only") from error


def _text(path: Path, kind: str, most: int) -> str:
    with path.open("rb") as stream:
        data = stream.read(most + 1)
    if len(data) > most:
        raise HeadsplatError(f"{path}: larger than {most >> 10} KB, which no {kind} is; check its path")
    return data.decode("utf-8")


def load_preset(name: str, base: Config) -> Config:
    """`base` updated with the preset `name` (configs/NAME.toml); HeadsplatError lists the known names."""
    known = preset_paths()
    if name not in known:
        raise HeadsplatError(f"--preset: no preset {name!r}; choose one of {', '.join(known)}")
    return load_config(known[name], base)


def preset_paths() -> dict[str, Path]:
    """The presets by name."""
    return {path.stem: path for folder in reversed(PRESET_FOLDERS) for path in sorted(folder.glob("*.toml"))}


def apply_values(base: Config, values: Mapping[str, Any], where: str, prefix: str = "") -> Config:
    """`base` updated with `values`, group by group.

    Args:
        base: a dataclass instance; it is not changed.
        values: of a TOML file; a group of settings is a mapping in it.
        where: the file or option, in error messages.
        prefix: the groups that `base` is in, dotted, in error messages.

    Raises:
        HeadsplatError: an unknown key, or a value of another type.
    """
    known = [field.name for field in dataclasses.fields(base)]  # type: ignore[arg-type]
    hints = typing.get_type_hints(type(base))
    changes: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        if key not in known:
            raise HeadsplatError(f"{where}: unknown key `{name}`; {_suggestion(key, known)}")
        current = getattr(base, key)
        if dataclasses.is_dataclass(current) and not isinstance(current, type):
            if not isinstance(value, Mapping):
                raise HeadsplatError(f"{where}: `{name}` is a group of settings; write it as a table [{name}]")
            changes[key] = apply_values(current, value, where, f"{name}.")
        else:
            changes[key] = _convert(value, hints[key], where, name)
    try:
        return dataclasses.replace(base, **changes)  # type: ignore[type-var]
    except ValueError as error:
        raise HeadsplatError(f"{where}: {error}") from error


def save_config(path: str | Path, config: Any, comment: str = "") -> None:
    """Write every value of the dataclass `config` to `path`, readable by `load_config`; None values are omitted.

    Args:
        path: the TOML file to write; an existing file is replaced atomically.
        config: a dataclass instance of numbers, strings, booleans, paths, sequences of these and nested dataclasses.
        comment: comment lines at the top of the file.
    """
    lines = [f"# {line}" for line in comment.splitlines()]
    _write_table(config, "", lines)
    with atomic_path(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8", errors="backslashreplace")


def _write_table(config: Any, prefix: str, lines: list[str]) -> None:
    groups = []
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            groups.append((field.name, value))
        elif value is not None:
            lines.append(f"{field.name} = {_toml_value(value)}")
        elif field.default is not None:
            raise ValueError(f"{prefix}{field.name}: None cannot be written to TOML where the default is another value")
    for name, group in groups:
        lines += ["", f"[{prefix}{name}]"]
        _write_table(group, f"{prefix}{name}.", lines)


def _toml_value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else str(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_toml_value(item) for item in value) + "]"
    # A JSON string without ASCII escapes is a TOML basic string, except for DEL.
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")


def _suggestion(key: str, known: list[str]) -> str:
    near = difflib.get_close_matches(key, known, n=1)
    return f"did you mean `{near[0]}`?" if near else f"known keys: {', '.join(sorted(known))}"


def _convert(value: Any, hint: Any, where: str, name: str) -> Any:
    """`value` converted to the type annotation `hint`; raises HeadsplatError if it does not fit."""
    origin = typing.get_origin(hint)
    arguments = typing.get_args(hint)
    if origin in (Union, types.UnionType):
        choices = [argument for argument in arguments if argument is not type(None)]
        for choice in choices[:-1]:
            try:
                return _convert(value, choice, where, name)
            except HeadsplatError:
                continue
        return _convert(value, choices[-1], where, name)
    if origin is Literal:
        if value not in arguments:
            choices_text = ", ".join(map(repr, arguments))
            raise HeadsplatError(f"{where}: `{name}` is {_value_text(value)}, expected one of {choices_text}")
        return value
    if origin in (tuple, list) and isinstance(value, list):
        items = [_convert(item, _item_hint(arguments, index), where, name) for index, item in enumerate(value)]
        if origin is tuple and Ellipsis not in arguments and len(items) != len(arguments):
            raise HeadsplatError(f"{where}: `{name}` has {len(items)} values, expected {len(arguments)}")
        return origin(items)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            raise HeadsplatError(f"{where}: `{name}` is {_value_text(value)}, which is too large") from None
    if hint is Path and isinstance(value, str):
        return Path(value)
    if not isinstance(value, origin or hint) or (isinstance(value, bool) and hint is not bool):
        raise HeadsplatError(f"{where}: `{name}` is {_value_text(value)}, expected {_describe(hint)}")
    return value


def _value_text(value: Any) -> str:
    return shortened(value, 80) if isinstance(value, (int, float)) else f"{value!r:.80}"


def _item_hint(arguments: tuple[Any, ...], index: int) -> Any:
    return arguments[0] if Ellipsis in arguments or len(arguments) == 1 else arguments[min(index, len(arguments) - 1)]


def _describe(hint: Any) -> str:
    names = {int: "an integer", float: "a number", str: "a string", bool: "true or false", Path: "a path"}
    if isinstance(origin := typing.get_origin(hint), type) and issubclass(origin, Mapping):
        return "a table of names and values"
    return names.get(hint, "a list" if origin in (tuple, list) else str(hint))
