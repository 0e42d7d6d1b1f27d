#!/usr/bin/env bash
# bc-python-hcl2 0.4.3, which checkov 3.3 reads Terraform with, refuses a key `if` that begins a line; terraform takes it.
# Seen: on a line of its own `then = 1` is read, `if = 1` is a syntax error, `"if" = 1` is read, and so is `{ if = 1 }` on one line.
# terraform fmt accepts all of them.
# A scanner that cannot read a file finds nothing in it: count parsing errors, and quote such keys.
# shellcheck source=findings/lib.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

install bc-python-hcl2==0.4.3
# read_by_hcl2 OBJECT: "read" or "refused".
read_by_hcl2() {
    printf 'locals {\n  a = %s\n}\n' "$1" >"$FOLDER/main.tf"
    "$PYTHON" - "$FOLDER/main.tf" <<'PY'
import sys

import hcl2

try:
    with open(sys.argv[1]) as file:
        hcl2.load(file)
    print("read")
except Exception:
    print("refused")
PY
    if command -v terraform >/dev/null; then
        terraform fmt -check "$FOLDER/main.tf" >/dev/null 2>&1 || { echo "terraform refuses $1" >&2; exit 1; }
    fi
}
same "then, on a line" read "$(read_by_hcl2 $'{\n    then = 1\n  }')"
same "if, on a line" refused "$(read_by_hcl2 $'{\n    if = 1\n  }')"
same "\"if\", on a line" read "$(read_by_hcl2 $'{\n    "if" = 1\n  }')"
same "if, on one line" read "$(read_by_hcl2 '{ if = 1 }')"
