# SPDX-License-Identifier: Apache-2.0
"""Repository files match the package: version, workflows, issue forms, pinned tools, citation."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

import unipose_hf

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PINNED = dict(
    line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if line and line[0] != "#"
)
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
FORMS = [file for file in sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml")) if file.stem != "config"]


def read(file):
    return yaml.safe_load((ROOT / file).read_text(encoding="utf-8"))


def test_the_version_is_written_once():
    assert "version" in PROJECT["dynamic"] and "version" not in PROJECT
    assert re.search(rf"^## .*\b{re.escape(unipose_hf.__version__)}$", (ROOT / "CHANGELOG.md").read_text(), re.M)


def test_type_checkers_are_told_that_the_package_is_typed():
    assert (Path(unipose_hf.__file__).parent / "py.typed").is_file()


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.stem)
def test_workflows_run_what_there_is(file):
    workflow = read(file)
    assert workflow[True]  # YAML reads the key `on` as true
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.M))
    for job in workflow["jobs"].values():
        assert job["runs-on"] and job["steps"]
        for command in (step.get("run", "") for step in job["steps"]):
            assert set(re.findall(r"\bmake ([\w-]+)", command)) <= targets
            assert all((ROOT / script).is_file() for script in re.findall(r"\.ci/\S+", command))


@pytest.mark.parametrize("file", FORMS, ids=lambda file: file.stem)
def test_issue_forms_have_what_github_demands(file):
    form = read(file)
    assert form["name"] and form["description"]
    assert any(field["type"] != "markdown" for field in form["body"])
    assert all(field["attributes"].get("label") or field["type"] == "markdown" for field in form["body"])


def test_commits_are_linted_by_the_ruff_that_lints_the_suite():
    revisions = {repo["repo"]: repo["rev"] for repo in read(".pre-commit-config.yaml")["repos"]}
    assert revisions["https://github.com/astral-sh/ruff-pre-commit"] == f"v{PINNED['ruff']}"


def test_the_citation_names_the_paper_of_the_readme():
    citation = read("CITATION.cff")
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    [paper] = citation["references"]
    entry = (ROOT / "README.md").read_text(encoding="utf-8").split("```bibtex")[1]
    assert f"title     = {{{paper['title']}}}" in entry and f"{paper['start']}-{paper['end']}" in entry
    assert all(f"{author['family-names']}, {author['given-names']}" in entry for author in paper["authors"])
