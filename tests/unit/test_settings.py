"""Where databases and log are: code over environment over project over files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from preterite.errors import ConfigurationError
from preterite.settings import ProjectSettings, database_urls, is_trusted, log_url, read_project, worker_environment

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


def test_a_database_of_no_component_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="names 'sale', which is no component of 'shop'; known are sales"):
        database_urls("shop", ["sales"], {"sale": "sqlite:///x"}, {}, ProjectSettings())


def test_the_nearest_project_file_counts(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        '[tool.preterite]\napp = "shop:system"\n[tool.preterite.databases]\na = "b"'
    )
    (tmp_path / "deep" / "down").mkdir(parents=True)

    assert read_project(tmp_path / "deep" / "down") == ProjectSettings("shop:system", None, {"a": "b"})


def test_an_unknown_setting_is_refused(tmp_path: Path) -> None:
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


def test_a_worker_gets_its_own_url_and_the_logs_with_its_own_rights_and_no_other() -> None:
    environment = {
        "PATH": "/bin",
        "PRETERITE_SALES_URL": "sales",
        "PRETERITE_SALES_OWNER_URL": "sales owner",
        "PRETERITE_SALES_LOG_URL": "log of sales",
        "PRETERITE_FINANCE_URL": "finance",
        "PRETERITE_FINANCE_LOG_URL": "log of finance",
        "PRETERITE_LOG_URL": "log of all",
        "PRETERITE_LOG_OWNER_URL": "log owner",
        "PRETERITE_ADMIN_URL": "admin",
    }

    assert worker_environment("sales", environment) == {
        "PATH": "/bin",
        "PRETERITE_SALES_URL": "sales",
        "PRETERITE_LOG_URL": "log of sales",
    }
    assert worker_environment("shipping", environment) == {"PATH": "/bin", "PRETERITE_LOG_URL": "log of all"}


@pytest.mark.parametrize(
    ("owner", "folder_owner", "user", "trusted"),
    [
        (1000, 1000, 1000, True),
        (0, 1000, 1000, True),
        (1001, 1000, 1000, False),
        (1001, 1001, 1000, True),
        (1001, 0, 0, False),
        (1001, 1001, 0, True),
    ],
)
def test_a_project_of_another_user_above_ones_own_folder_is_not_trusted(
    *, owner: int, folder_owner: int, user: int, trusted: bool
) -> None:
    assert is_trusted(owner, folder_owner, user) == trusted


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")
def test_a_planted_project_above_the_folder_decides_nothing(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    project = tmp_path / "pyproject.toml"
    project.write_text('[tool.preterite]\napp = "planted:system"\n', encoding="utf-8")
    os.chown(project, 12345, 12345)

    with pytest.raises(ConfigurationError, match="belongs to another user"):
        read_project(tmp_path / "below")
