#!/usr/bin/env bash
# Which environment a branch is for, or the one that a person chose. Prints its name, or nothing for a branch that is
# built and not deployed.
#
#   environment.sh BRANCH [CHOICE]
#
# Exit status: 0; 2 a choice that is no environment.
set -euo pipefail
# shellcheck source=infra/scripts/lib.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

(($# == 1 || $# == 2)) || die 2 "BRANCH and maybe CHOICE are needed"
if [[ -n ${2:-} ]]; then
    one_of environment "$2" development staging production
    # A choice does not go round review: production has what main has.
    [[ $2 != production || $1 == main ]] || die 2 "production is deployed from main, not from '$1'"
    echo "$2"
    exit
fi
case $1 in
    main) echo production ;;
    stage) echo staging ;;
    develop) echo development ;;
esac
