#!/usr/bin/env bash
# Checks everything under infra/ and prints one line per check.
#   scripts/test-infra.sh           all of it (`make test-infra`)
#   scripts/test-infra.sh fast      what needs seconds only (part of `make test`)
#   ONLY="test_helm.py::test_x" scripts/test-infra.sh    one check
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"
cd -- "$ROOT"

"$ROOT/scripts/setup.sh"
"$ROOT/scripts/setup-infra.sh" "${1:-all}"
# Checks that need an edge use a real one.
require_cargo
if [[ -z ${THALWEG_BIN:-} ]] && ! ls "$(target_dir)"/{release,debug}/thalweg >/dev/null 2>&1; then
    cargo build --locked -p thalweg-edge
fi
python=$ROOT/.venv-infra/bin/python
arguments=(-q -p no:cacheprovider --rootdir infra/tests)
if [[ ${1:-all} == fast ]]; then
    arguments+=(-m "not slow")
fi
if [[ -n ${ONLY:-} ]]; then
    exec "$python" -m pytest "${arguments[@]}" "infra/tests/$ONLY"
fi
if [[ ${1:-all} == fast ]]; then
    # Half of the time is waiting. A file stays in one process, because its checks share what they have rendered.
    arguments+=(-n 2 --dist loadfile)
fi
exec "$python" -m pytest "${arguments[@]}" infra/tests
