# shellcheck shell=bash
# Google's APIs as this machine's account, for the other scripts: no key, only the token that the metadata server lends.

say() { printf '%s\n' "$*" >&2; }
die() { say "$@"; exit 1; }

# Prints a token of this machine's account.
token() {
    curl --silent --fail --header "Metadata-Flavor: Google" \
        http://169.254.169.254/computeMetadata/v1/instance/service-accounts/default/token | jq --exit-status --raw-output .access_token
}

# Prints the line of curl's configuration that carries the token. Arguments can be read by every process of the machine,
# so neither the token nor a body is ever one.
bearer() {
    local lent
    lent=$(token) || die "the metadata server lends no token"
    printf 'header = "Authorization: Bearer %s"\n' "$lent"
}

# api METHOD URL [JSON]: prints the answer, fails with Google's own when the call is refused.
api() {
    local header
    header=$(bearer)
    printf '%s' "${3:-}" | curl --silent --show-error --fail-with-body --config <(printf '%s\n' "$header") --request "$1" \
        --header "Content-Type: application/json" ${3:+--data @-} "$2"
}

# upload FILE URL
upload() {
    local header
    header=$(bearer)
    curl --silent --show-error --fail-with-body --config <(printf '%s\n' "$header") --upload-file "$1" "$2"
}
