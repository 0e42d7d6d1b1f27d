#!/usr/bin/env bash
# The slow tests: all checks of infra/, fuzz targets, ignored tests, long simulations, chaos on the release binary.
set -euo pipefail
exec "$(dirname -- "${BASH_SOURCE[0]}")/test.sh" long
