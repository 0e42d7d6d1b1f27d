"""Meaning is tested: every planted wrong meaning is caught by the check that says so, and the same checks pass without it."""

from __future__ import annotations

import concurrent.futures
import os
import pathlib
import queue

import pytest
import yaml
from conftest import ROOT
from mutation import Mutant, copied, file_of, mutants, outcome, verdict

# The checks of the sample, quick ones: whether the harness itself notices anything.
SAMPLE = {
    "test_meaning_plain.py::test_who_reaches_what_watches",
    "test_meaning_gitops.py::test_the_project_is_narrow",
    "test_meaning_monitoring.py::test_one_region_does_not_silence_another",
}


def unsound(mutant: Mutant) -> str | None:
    """What is wrong with a row of the tables."""
    file, name = file_of(mutant.check)
    if f"def {name}(" not in file.read_text(encoding="utf-8"):
        return f"{mutant.check} does not exist"
    text = (ROOT / mutant.file).read_text(encoding="utf-8")
    if text.count(mutant.old) != 1:
        return f"{mutant.file} holds {mutant.old!r} {text.count(mutant.old)} times: name one place"
    if mutant.old == mutant.new:
        return f"{mutant.file}: {mutant.means}: changes nothing"
    if mutant.file.endswith((".yaml", ".yml")) and "/templates/" not in mutant.file:
        try:
            list(yaml.safe_load_all(mutant.of(text)))
        except yaml.YAMLError as problem:
            return f"{mutant.file}: {mutant.means}: no YAML any more: {problem}"
    return None


def test_the_table_is_sound(counted) -> None:
    """Each mutant names one place that exists, changes it, stays readable, and names a check that exists"""
    every = mutants()
    wrong = [said for said in map(unsound, every) if said]
    assert not wrong, "\n".join(wrong)
    assert len({(mutant.file, mutant.old, mutant.new) for mutant in every}) == len(every) >= 60
    assert {mutant.area for mutant in every} >= {"charts", "kustomize", "gitops", "monitoring", "terraform", "app"}
    counted("mutants", len(every))


def judged(folder: pathlib.Path, chosen: list[Mutant], workers: int) -> list[str]:
    """What was wrong: a check that is red without its mutants (the control), or a mutant that its check lets pass."""
    copies: queue.Queue[pathlib.Path] = queue.Queue()
    for number in range(workers):
        copies.put(copied(folder / str(number)))

    def of_check(check: str) -> list[str]:
        copy = copies.get()
        try:
            if (control := outcome(copy, check)) != "passed":
                return [f"{check}: {control} without a mutant"]
            planted = [(mutant, verdict(copy, mutant)) for mutant in chosen if mutant.check == check]
            return [f"{said}: {mutant.file}: {mutant.means} ({check})" for mutant, said in planted if said != "failed"]
        finally:
            copies.put(copy)

    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        checks = sorted({mutant.check for mutant in chosen})
        return [wrong for found in pool.map(of_check, checks) for wrong in found]


def test_a_sample_is_caught(tmp_path: pathlib.Path, counted) -> None:
    """One mutant of each quick check is caught; the same checks pass without it"""
    chosen = [next(mutant for mutant in mutants() if mutant.check == check) for check in sorted(SAMPLE)]
    wrong = judged(tmp_path, chosen, 1)
    assert not wrong, "\n".join(wrong)
    counted("mutants", len(chosen))


@pytest.mark.slow
def test_every_mutant_is_caught(tmp_path: pathlib.Path, counted) -> None:
    """Every mutant is caught by its check; the same checks pass without any. MUTANTS=word: only those whose row holds it"""
    word = os.environ.get("MUTANTS", "")
    chosen = [mutant for mutant in mutants() if word in " ".join(mutant)]
    wrong = judged(tmp_path, chosen, min(2, os.cpu_count() or 1))
    assert not wrong, "\n".join(wrong)
    counted("mutants", len(chosen))
