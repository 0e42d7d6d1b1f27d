#!/usr/bin/env bash
# Marks a moment on the dashboards. A mark that cannot be set stops no delivery: it says so and ends well.
#
#   annotate.sh TEXT TAG...
#
# Reads GRAFANA_URL and GRAFANA_TOKEN; without a URL there is no Grafana, and nothing is done. Exit status: 0; 2 usage.
set -euo pipefail
# shellcheck source=infra/scripts/lib.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

(($# >= 2)) || die 2 "TEXT and TAG... are needed"
[[ -n ${GRAFANA_URL:-} ]] || { say "GRAFANA_URL is not set: no mark"; exit; }
need GRAFANA_TOKEN
body=$(python3 -c 'import json, sys; print(json.dumps({"text": sys.argv[1], "tags": sys.argv[2:]}))' "$@")
# The token comes by a file descriptor: arguments of a process are everybody's to read.
curl --silent --show-error --fail --max-time 10 --output /dev/null --header 'Content-Type: application/json' \
    --config <(printf 'header = "Authorization: Bearer %s"\n' "$GRAFANA_TOKEN") \
    --data "$body" "$GRAFANA_URL/api/annotations" || say "Grafana took no mark"
