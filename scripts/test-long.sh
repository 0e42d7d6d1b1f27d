#!/usr/bin/env bash
# The slow tests: ignored ones, long simulations, chaos on the release binary.
set -euo pipefail
exec "$(dirname -- "${BASH_SOURCE[0]}")/test.sh" long
