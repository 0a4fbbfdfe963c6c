"""Where databases and log are: code over environment over project over files."""

from __future__ import annotations

from pathlib import Path

import pytest

from preterite.errors import ConfigurationError
from preterite.settings import ProjectSettings, database_urls, log_url, read_project

PROJECT = ProjectSettings(None, "sqlite:///project-log", {"sales": "sqlite:///project-sales"})
ENVIRONMENT = {"PRETERITE_SALES_URL": "sqlite:///environment-sales", "PRETERITE_LOG_URL": "sqlite:///environment-log"}


def sales(given: dict[str, str], environment: dict[str, str], project: ProjectSettings) -> str:
    return database_urls("shop", ["sales", "finance"], given, environment, project)["sales"]


def test_code_counts_before_the_environment_before_the_project_before_files() -> None:
    nothing = ProjectSettings()

    assert sales({"sales": "sqlite:///code"}, ENVIRONMENT, PROJECT) == "sqlite:///code"
    assert sales({}, ENVIRONMENT, PROJECT) == "sqlite:///environment-sales"
    assert sales({}, {}, PROJECT) == "sqlite:///project-sales"
    assert sales({}, {}, nothing) == "sqlite:///.preterite/shop/sales.sqlite"
    assert log_url("shop", "sqlite:///code", ENVIRONMENT, PROJECT) == "sqlite:///code"
    assert log_url("shop", None, ENVIRONMENT, PROJECT) == "sqlite:///environment-log"
    assert log_url("shop", None, {}, PROJECT) == "sqlite:///project-log"
    assert log_url("shop", None, {}, nothing) == "sqlite:///.preterite/shop/log.sqlite"


def test_a_name_with_a_dash_is_written_with_an_underscore_in_the_environment() -> None:
    urls = database_urls("shop", ["back-office"], {}, {"PRETERITE_BACK_OFFICE_URL": "sqlite:///x"}, ProjectSettings())

    assert urls == {"back-office": "sqlite:///x"}


def test_a_database_for_nobody_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="names 'sale', which is no component of 'shop'; known are sales"):
        database_urls("shop", ["sales"], {"sale": "sqlite:///x"}, {}, ProjectSettings())


def test_the_nearest_project_file_counts(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        '[tool.preterite]\napp = "shop:system"\n[tool.preterite.databases]\na = "b"'
    )
    (tmp_path / "deep" / "down").mkdir(parents=True)

    assert read_project(tmp_path / "deep" / "down") == ProjectSettings("shop:system", None, {"a": "b"})


def test_a_setting_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.preterite]\nlogg = "x"')

    with pytest.raises(ConfigurationError, match="has no setting 'logg'; known are app, log, databases"):
        read_project(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        b"[tool",
        b"\xff",
        b"tool = 3",
        b"[tool]\npreterite = 3",
        b"[tool.preterite]\napp = 3",
        b"[tool.preterite]\ndatabases = 'a'",
        b"[tool.preterite.databases]\nsales = 3",
    ],
)
def test_a_project_file_that_cannot_be_read_is_said_so(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "pyproject.toml").write_bytes(content)

    with pytest.raises(ConfigurationError, match=r"pyproject\.toml cannot be read: "):
        read_project(tmp_path)
