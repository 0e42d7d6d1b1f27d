#!/usr/bin/env bash
# Fails when a commit's first line is longer than 72 characters.
# It looks at the commits since the last tag. Where there is no tag, it looks at those that follow the commit
# that added this script: older subjects are history and stay as they are.
#   scripts/commit-subjects.sh          this repository
#   scripts/commit-subjects.sh FOLDER   another one
# Without git, in an unpacked archive or a shallow clone that lacks the start, there is nothing to look at:
# exit code 77 says so.
set -euo pipefail

export LC_ALL=C.UTF-8
MOST=72
SELF=scripts/commit-subjects.sh
NOTHING_TO_LOOK_AT=77

main() {
    local base long
    cd -- "${1:-"$(dirname -- "${BASH_SOURCE[0]}")/.."}"
    git rev-parse --git-dir >/dev/null 2>&1 || skip "this is not a git repository"
    base=$(first_commit) || skip "the commit that added $SELF is not in this clone"
    long=$(git log --format='%h %s' "$base..HEAD" | longer_than "$MOST")
    if [[ -n $long ]]; then
        printf 'subjects of more than %d characters:\n%s\n' "$MOST" "$long" >&2
        exit 1
    fi
}

# The last tag, else the commit that added this script.
first_commit() {
    local added
    git describe --tags --abbrev=0 2>/dev/null && return
    [[ $(git rev-parse --is-shallow-repository) == false ]] || return 1
    added=$(git log --diff-filter=A --format=%H -- "$SELF" | tail -n 1)
    [[ -n $added ]] && printf '%s\n' "$added"
}

# Lines `HASH SUBJECT` whose subject is longer than this. Bash counts characters; Debian's awk counts bytes.
longer_than() {
    local hash subject
    while read -r hash subject; do
        ((${#subject} <= $1)) || printf '%s %s\n' "$hash" "$subject"
    done
}

skip() {
    printf 'SKIPPED: %s\n' "$1" >&2
    exit "$NOTHING_TO_LOOK_AT"
}

main "$@"
