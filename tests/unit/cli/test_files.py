"""Whatever a file is that a command reads or writes, and whatever a database holds, the answer is a sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from fuzz.command_lines import APP, CREATED, arguments_of, commands, make_project
from fuzz.judging import wrong_in
from support.command_line import Run

from preterite.cli.exit_codes import EXIT_CODES

NO_FILES: dict[str, Callable[[Path], object]] = {
    "a folder": Path.mkdir,
    "a link to itself": lambda file: file.symlink_to(file),
    "endless": lambda file: file.symlink_to("/dev/zero"),
    "full": lambda file: file.symlink_to("/dev/full"),
    "bytes": lambda file: file.write_bytes(b"\xff\xfe\x00"),
    "deep": lambda file: file.write_bytes(b"a = " + b"[" * 100_000),
    "nested": lambda file: file.write_bytes(b"[" * 100_000),
    "empty": lambda file: file.write_bytes(b""),
}
NO_NAMES = {
    "no folder": "nowhere/x",
    "under a file": "document.json/x",
    "long": "a" * 5_000,
    "surrogate": "\udcff\ud800",
}
PROJECT_FILES = ("pyproject.toml", "baseline.toml", "contracts.lock")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    make_project(folder, texts=["x"])
    return folder


def test_no_file_that_is_given_ends_in_a_traceback(
    run: Run, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    for name, make in NO_FILES.items():
        make(tmp_path / name)
    files = {**{name: str(tmp_path / name) for name in NO_FILES}, **NO_NAMES}
    takers = [
        (names, one)
        for names, parser in commands()
        for one in arguments_of(parser)
        if one.metavar == "FILE" or (one.metavar == "DIR" and names == ["describe"])  # -C is the same everywhere
    ]
    wrong: list[str] = []
    for names, action in takers:
        if names == ["provision"]:
            continue
        for file, path in files.items():
            given = [f"{action.option_strings[-1]}={path}"] if action.option_strings else ["alpha", path]
            code, out, err = run(*names, *given, "-A", APP)
            wrong += [f"{names} {file}: {one}" for one in wrong_in(out + err)]
            monkeypatch.chdir(project)
            wrong += [] if code in EXIT_CODES and (code == 0 or out + err) else [f"{names} {file}: {code}"]

    assert wrong == []
    assert len(takers) >= 5


@pytest.mark.parametrize("what", NO_FILES)
@pytest.mark.parametrize("file", PROJECT_FILES)
def test_no_file_of_a_project_ends_in_a_traceback(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, what: str
) -> None:
    (tmp_path / "pyproject.toml").write_text(f'[tool.preterite]\napp = "{APP}"\n', encoding="utf-8")
    (tmp_path / file).unlink(missing_ok=True)
    NO_FILES[what](tmp_path / file)
    monkeypatch.chdir(tmp_path)
    for words in (["check"], ["contracts", "diff"]):
        code, out, err = run(*words)
        assert (wrong_in(out + err), code in EXIT_CODES) == ([], True), f"{words}: {err}"


@pytest.mark.parametrize("name", CREATED)
def test_a_damaged_database_is_reported_in_a_sentence(
    run: Run, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(project)
    for file in CREATED:
        content = bytearray((project / file).read_bytes())
        if file == name:
            # The head stays: it opens, and its pages are nonsense.
            content[4_096:] = b"\xa5" * (len(content) - 4_096)
        (tmp_path / file).write_bytes(content)
        monkeypatch.setenv(f"PRETERITE_{file.partition('.')[0].upper()}_URL", f"sqlite:///{tmp_path / file}")
    codes: set[int] = set()
    for words in ("status", "recover plan", "dead-letters list", "replay plan --to beta.take", "replay status"):
        code, out, err = run(*words.split(), "-A", APP)
        codes.add(code)
        assert (wrong_in(out + err), code in EXIT_CODES) == ([], True), f"{words}: {err}"

    assert 4 in codes
