"""`unbroken check`: what it prints, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sarif_pydantic import Sarif
from typer.testing import CliRunner, Result

from unbroken.cli.commands import app
from unbroken.diagnose.source.rules import RULES

BROKEN = """\
from starlette.responses import EventSourceResponse


def events():
    return EventSourceResponse([])
"""
RIGHT = """\
from unbroken import EventSourceResponse


def events():
    return EventSourceResponse([])
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with nothing around it, to be in."""
    (tmp_path / "pyproject.toml").write_text("[tool.unbroken]\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(app, ["check", *arguments])


def test_a_finding_is_one_line_with_its_place(project: Path) -> None:
    """As linters write it, and the end says what can be done; exit code 1."""
    (project / "app.py").write_text(BROKEN)
    done = run()
    assert done.exit_code == 1
    first, *rest = done.stdout.splitlines()
    assert first.startswith("app.py:1:1: SSE001 [*] `EventSourceResponse` cannot be imported")
    assert first.endswith("(import-does-not-exist)")
    assert rest[0] == "Found 1 problem: 1 stream in 1 file."
    assert "unbroken fix" in rest[1]
    assert rest[2].endswith("unbroken explain import-does-not-exist")


def test_nothing_found_is_said(project: Path) -> None:
    """One line, exit code 0."""
    (project / "app.py").write_text(RIGHT)
    done = run()
    assert (done.exit_code, done.stdout) == (0, "Nothing found: 1 stream in 1 file.\n")


def test_what_cannot_be_parsed_is_said(project: Path) -> None:
    """It does not pass for clean: file and line on standard error, exit code 2, or 1 if something was found too."""
    (project / "odd.py").write_text("media_type = 'text/event-stream'\ndef (:\n")
    done = run()
    assert done.exit_code == 2
    assert done.stderr.startswith("unbroken check: odd.py:2: ")
    (project / "app.py").write_text(BROKEN)
    assert run().exit_code == 1


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["nowhere"], "nowhere: there is no such file or directory"),
        (["--select", "XYZ"], "'XYZ' is no rule"),
        (["--ignore", "SSE9"], "'SSE9' is no rule"),
    ],
)
def test_a_wrong_argument_is_one_line(project: Path, arguments: list[str], text: str) -> None:
    """On standard error, with exit code 2, and nothing else."""
    done = run(*arguments)
    assert done.exit_code == 2
    assert done.stdout == ""
    assert done.stderr.startswith(f"unbroken check: {text}")
    assert len(done.stderr.splitlines()) == 1


def test_what_is_not_selected_is_not_found(project: Path) -> None:
    """`--ignore` and `--select` take codes, by commas too, and beginnings; they win over the project's own."""
    (project / "app.py").write_text(BROKEN)
    assert run("--ignore", "SSE001,SSE002").exit_code == 0
    assert run("--select", "SSE001").exit_code == 1
    (project / "pyproject.toml").write_text('[tool.unbroken]\nignore = ["SSE0"]\n')
    assert run().exit_code == 0
    assert run("--ignore", "SSE002").exit_code == 1


def test_a_wrong_configuration_is_said(project: Path) -> None:
    """With the file and the key."""
    (project / "pyproject.toml").write_text('[tool.unbroken]\nselct = ["SSE"]\n')
    done = run()
    assert done.exit_code == 2
    assert "pyproject.toml: [tool.unbroken] has no 'selct'" in done.stderr


def test_json(project: Path) -> None:
    """The whole report as plain data, whatever was found."""
    (project / "app.py").write_text(BROKEN)
    done = run("--format", "json")
    report = json.loads(done.stdout)
    assert (report["files"], report["streams"], report["unreadable"]) == (1, 1, [])
    (finding,) = report["findings"]
    assert (finding["code"], finding["line"], finding["path"]) == ("SSE001", 1, "app.py")


def test_sarif(project: Path) -> None:
    """Every rule with its help, and each finding with a relative path and a region, as code hosts want it."""
    (project / "app.py").write_text(BROKEN)
    text = run("--format", "sarif").stdout
    assert len(Sarif.model_validate_json(text).runs[0].results or ()) == 1  # somebody else's reading of the standard
    (log,) = json.loads(text)["runs"]
    assert [rule["id"] for rule in log["tool"]["driver"]["rules"]] == [rule.code for rule in RULES]
    assert all(rule["help"]["text"] and rule["fullDescription"]["text"] for rule in log["tool"]["driver"]["rules"])
    (result,) = log["results"]
    assert result["ruleId"] == "SSE001"
    place = result["locations"][0]["physicalLocation"]
    assert place["artifactLocation"] == {"uri": "app.py"}
    assert place["region"] == {"startLine": 1, "startColumn": 1, "endLine": 1, "endColumn": 52}


def test_github_annotations(project: Path) -> None:
    """A name with a comma or a colon does not end the annotation's property."""
    folder = project / "a,b:c"
    folder.mkdir()
    (folder / "app.py").write_text(BROKEN)
    line = run("--format", "github").stdout
    assert line.startswith("::error file=a%2Cb%3Ac/app.py,line=1,col=1,endLine=1,endColumn=52,title=SSE001 ")
    assert line.count("\n") == 1
