//! Tests of the check for commit subjects, on temporary repositories. `make lint` runs that check on this repository.

use std::{path::Path, process::Command};

use thalweg_testkit::{Scratch, repository};

/// Runs git in this folder without any user configuration.
fn git(folder: &Path, args: &[&str]) {
    let identity = ["-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false"];
    let done = Command::new("git").args(identity).args(args).current_dir(folder).output().expect("git runs");
    assert!(done.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&done.stderr));
}

fn commit(folder: &Path, subject: &str) {
    git(folder, &["commit", "--quiet", "--allow-empty", "--message", subject]);
}

/// The exit code of the check, and its output.
fn check(folder: &Path) -> (Option<i32>, String) {
    let script = repository().join("scripts/commit-subjects.sh");
    let done = Command::new(script).arg(folder).output().expect("the check runs");
    (done.status.code(), String::from_utf8_lossy(&done.stderr).into_owned())
}

#[test]
fn a_commit_subject_of_more_than_72_characters_is_found() {
    let scratch = Scratch::new();
    let folder = scratch.path();
    // Without `git init`, a temporary folder inside a repository would belong to that repository.
    git(folder, &["init", "--quiet"]);
    commit(folder, &format!("history may have {}", "x".repeat(72)));
    let (code, said) = check(folder);
    assert_eq!(code, Some(77), "no tag, and not the script's own commit: {said}");
    assert!(said.starts_with("SKIPPED: "), "{said}");

    scratch.write("scripts/commit-subjects.sh", "");
    git(folder, &["add", "scripts"]);
    commit(folder, "the commit that adds the check");
    commit(folder, &"ä".repeat(72));
    assert_eq!(
        check(folder),
        (Some(0), String::new()),
        "72 characters are allowed, however many bytes they are"
    );
    commit(folder, &"b".repeat(73));
    let (code, said) = check(folder);
    assert_eq!(code, Some(1));
    assert!(said.contains(&"b".repeat(73)) && !said.contains("history"), "{said}");

    git(folder, &["tag", "v1"]);
    assert_eq!(check(folder).0, Some(0), "what is older than the last tag is history");
    commit(folder, &"c".repeat(80));
    assert_eq!(check(folder).0, Some(1));
}
