"""Writes `gateway/config/schema.json` anew: `python -m tests.config.write_schema`, after a change of `keys`."""

from __future__ import annotations

import json
from pathlib import Path

import gateway.config
from gateway.config.schema import schema

if __name__ == "__main__":
    path = Path(gateway.config.__file__).parent / "schema.json"
    path.write_text(json.dumps(schema(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
