"""What is written beside the code stays true."""

import os
import re
import shlex
import tomllib
from pathlib import Path

import pytest
import yaml

from jobs.settings import Settings, variables
from jobs.settings.table import table

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())


def test_the_readme_has_the_table_of_settings_as_it_is():
    readme = (ROOT / "README.md").read_text()

    assert readme.partition("<!-- settings -->\n")[2].partition("\n<!-- /settings -->")[0] == table()


def test_the_example_file_names_every_setting_that_may_be_set():
    example = (ROOT / ".env.example").read_text()

    assert set(re.findall(r"^#([A-Z_0-9]+)=", example, re.MULTILINE)) == set(variables()) - {
        "DARKROOM_DEV",
        "DARKROOM_SIMULATED",
    }


def test_every_script_that_the_readme_names_is_there_and_can_be_run():
    named = set(re.findall(r"scripts/(?:dev|test|check|fix|lock)\b", (ROOT / "README.md").read_text()))

    assert len(named) == 5
    assert all(os.access(ROOT / name, os.X_OK) for name in named)


def test_compose_has_a_redis_that_keeps_what_it_is_told_and_a_worker_with_time_to_finish():
    command = " ".join(COMPOSE["services"]["redis"]["command"])

    assert "--appendonly yes --appendfsync always --maxmemory-policy noeviction" in command
    assert COMPOSE["services"]["worker"]["stop_grace_period"] == "340s"
    assert COMPOSE["services"]["api"]["healthcheck"]["test"] == ["CMD", "darkroom", "healthcheck"]
    assert COMPOSE["services"]["worker"]["healthcheck"]["test"] == ["CMD", "darkroom", "healthcheck", "--worker"]


def test_what_a_worker_spools_outlives_its_container():
    volume, _, folder = COMPOSE["services"]["worker"]["volumes"][0].partition(":")

    assert volume in COMPOSE["volumes"]
    assert folder == f"/home/darkroom/{Settings.model_fields['data_dir'].default}"


@pytest.mark.parametrize("name", ["api", "worker"])
def test_what_compose_sets_is_a_setting_of_ours(name):
    assert set(COMPOSE["services"][name]["environment"]) <= set(variables())


def test_the_dockerfile_copies_what_exists():
    for line in (ROOT / "scripts/deploy/Dockerfile").read_text().splitlines():
        if line.startswith("COPY ") and "--from" not in line:
            *sources, _ = shlex.split(line)[1:]
            assert all((ROOT / source).exists() for source in sources), line


def test_the_locks_hold_hashes_and_no_address():
    for lock in [*(ROOT / "scripts/locks").glob("*.txt"), *ROOT.glob("tests/clients/*/requirements.txt")]:
        text = lock.read_text()
        assert "--hash=sha256:" in text
        assert "://" not in text
        assert "index" not in text


@pytest.mark.parametrize("lock", ["run", "test"])
def test_the_locks_name_the_extras_that_are_asked_for(lock):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    optional = project["optional-dependencies"] if lock == "test" else {}
    asked = re.findall(r"[\w-]+\[\w+\]", " ".join([*project["dependencies"], *optional.get("test", [])]))

    locked = re.findall(r"^[\w-]+\[\w+\](?===)", (ROOT / f"scripts/locks/{lock}.txt").read_text(), re.MULTILINE)

    assert {name.lower() for name in asked} <= set(locked)
