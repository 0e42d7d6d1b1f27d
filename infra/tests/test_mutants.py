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
    assert {mutant.area for mutant in every} >= {"charts", "kustomize", "gitops", "monitoring", "app"}
    counted("mutants", len(every))


def judged(folder: pathlib.Path, chosen: list[Mutant], workers: int) -> list[str]:
    """What was wrong: a check that is red without its mutant, or a mutant that its check lets pass."""
    copies: queue.Queue[pathlib.Path] = queue.Queue()
    for number in range(workers):
        copies.put(copied(folder / str(number)))

    def in_a_copy(mutant: Mutant) -> tuple[Mutant, str]:
        copy = copies.get()
        try:
            return mutant, verdict(copy, mutant)
        finally:
            copies.put(copy)

    wrong = []
    for of_app in (True, False):
        if checks := sorted({mutant.check for mutant in chosen if mutant.check.startswith("app/") == of_app}):
            control = outcome(folder / "0", *checks)
            wrong += [] if control == "passed" else [f"control: {control}"]
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        for mutant, said in pool.map(in_a_copy, chosen):
            if said != "failed":
                wrong.append(f"{said}: {mutant.file}: {mutant.means} ({mutant.check})")
    return wrong


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
