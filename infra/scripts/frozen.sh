#!/usr/bin/env bash
# Stops a delivery in a freeze: exit 2 with the reason, while a line of infra/delivery/freeze.txt covers this moment.
#
#   frozen.sh [TIME]      TIME as `date --date` reads it (now)
#
# A line is FROM UNTIL REASON, both in UTC as 2026-12-18T16:00Z; `#` begins a comment. DELIVERY_OVERRIDE=REASON goes on all
# the same, and prints the reason: a security fix does not wait. A file that cannot be read is a freeze.
set -euo pipefail
# shellcheck source=infra/scripts/lib.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

file=${FREEZE_FILE:-$ROOT/infra/delivery/freeze.txt}
now=$(date --utc --date "${1:-now}" +%s) || die 2 "'${1:-}' is no time"
[[ -r $file ]] || die 2 "$file cannot be read: nobody knows whether there is a freeze"
while read -r from until reason; do
    [[ -n $from && $from != '#'* ]] || continue
    stamp='^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}Z$'
    [[ $from =~ $stamp && $until =~ $stamp && -n $reason ]] || die 2 "$file: '$from $until $reason' is not FROM UNTIL REASON"
    ((now >= $(date --utc --date "$from" +%s) && now < $(date --utc --date "$until" +%s))) || continue
    [[ -n ${DELIVERY_OVERRIDE:-} ]] || die 2 "frozen until $until: $reason (DELIVERY_OVERRIDE=REASON goes on)"
    say "frozen until $until: $reason; going on: $DELIVERY_OVERRIDE"
done <"$file"
