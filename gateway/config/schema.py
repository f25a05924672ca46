"""
The JSON Schema of the configuration file, for editors, and an example of every key; both made from `keys`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from gateway.config.keys import FILE, MAP_NAMES, Key

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

DRAFT: Final = "http://json-schema.org/draft-07/schema#"
_TEXT: Final = {"type": "string"}


def schema() -> dict[str, Any]:
    """Give the JSON Schema (draft 7, which editors' TOML plug-ins read)."""
    return {"$schema": DRAFT, "title": "planhat-gateway configuration", **_object(FILE)}


def _object(keys: Mapping[str, Key]) -> dict[str, Any]:
    made: dict[str, Any] = {
        "type": "object",
        "properties": {name: _property(key) for name, key in keys.items()},
        "additionalProperties": False,
    }
    if needed := [name for name, key in keys.items() if key.needed]:
        made["required"] = needed
    return made


def _property(key: Key) -> dict[str, Any]:
    text: dict[str, Any] = _TEXT | ({"enum": list(key.choices)} if key.choices else {})
    text |= {"pattern": f"^(?:{key.pattern})$"} if key.pattern else {}
    custom = {"type": "object", "additionalProperties": _TEXT}
    kinds: dict[str, dict[str, Any]] = {
        "text": text,
        "texts": {"type": "array", "items": text, "minItems": 1},
        "flag": {"type": "boolean"},
        "integer": {"type": "integer", "minimum": key.low, "maximum": key.high},
        "words": {"type": "object", "additionalProperties": _TEXT},
        "query": _TEXT,
        "queries": {
            "type": "object",
            "properties": {name: custom if name == "custom" else _TEXT for name in MAP_NAMES},
            "patternProperties": {"^custom\\.": _TEXT},
            "additionalProperties": False,
        },
        "table": _object(key.keys),
        "tables": {"type": "object", "additionalProperties": _object(key.keys)},
    }
    return {"description": key.meaning} | kinds[key.kind]


def example() -> str:
    """Give a file with every key and what it means; it is valid as it stands."""
    return "\n".join(
        [
            "#:schema ./gateway.schema.json",
            "# `planhat-gateway config example --schema > gateway.schema.json` lets editors check this file,",
            "# `planhat-gateway config check` does, too; GATEWAY_CONFIG=gateway.toml makes the gateway read it.",
            "# Only what is marked as needed must stand here. Secrets stay in variables, which are named here.",
            *_example(("destinations", "planhat"), FILE["destinations"].keys),
            *_example(("connections", "zendesk-emea"), FILE["connections"].keys),
            *_example(("free_mail",), FILE["free_mail"].keys),
            "",
        ]
    )


def _example(path: tuple[str, ...], keys: Mapping[str, Key]) -> Iterator[str]:
    yield ""
    yield f"[{'.'.join(path)}]"
    for name, key in keys.items():
        if key.kind in ("table", "words", "queries"):
            continue
        mark = "" if key.example is not None else "# "
        entry = f"{mark}{name} = {_value(key.example if mark == '' else _blank(key))}"
        yield f"{entry:<46} # {key.meaning}{' (needed)' if key.needed else ''}"
    for name, key in keys.items():
        if key.kind == "table":
            yield from _example((*path, name), key.keys)
        elif key.kind in ("words", "queries"):
            yield ""
            yield f"[{'.'.join((*path, name))}]"
            for word, value in key.example.items():
                yield f"{f'{word} = {_value(value)}':<46} # {key.meaning}"


def _blank(key: Key) -> Any:
    return {"texts": ["..."], "flag": False, "integer": key.low}.get(key.kind, "...")


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    return f'"{value}"' if isinstance(value, str) else str(value)
