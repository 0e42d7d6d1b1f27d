#!/usr/bin/env bash
# terraform 1.11.4: `terraform test` of a resource with `prevent_destroy` passes its assertion and then fails, because the end of a
# test destroys what the test has applied. Seen: "1 passed, 0 failed" without the lifecycle and exit 0; with it an error
# "Instance cannot be destroyed" and exit 1, with a mocked or a built-in provider alike.
# A module that protects its database cannot be tested by `apply` as it stands: plan it, or take the line out of a copy.
# shellcheck source=findings/lib.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

command -v terraform >/dev/null || { echo "terraform is not installed" >&2; exit 1; }
# tested LIFECYCLE: exit status of `terraform test`, and whether it says why.
tested() {
    rm -rf "$FOLDER/module" && mkdir "$FOLDER/module"
    printf 'resource "terraform_data" "database" {\n  input = "kept"\n%s}\n' "$1" >"$FOLDER/module/main.tf"
    cat >"$FOLDER/module/main.tftest.hcl" <<'HCL'
run "apply" {
  assert {
    condition     = terraform_data.database.output == "kept"
    error_message = "It is kept."
  }
}
HCL
    local code=0
    terraform -chdir="$FOLDER/module" init -no-color >/dev/null
    terraform -chdir="$FOLDER/module" test -no-color >"$FOLDER/said" 2>&1 || code=$?
    echo "exit $code, $(grep -c 'cannot be destroyed' "$FOLDER/said") times 'cannot be destroyed'"
}
same "without" "exit 0, 0 times 'cannot be destroyed'" "$(tested '')"
same "with prevent_destroy" "exit 1, 1 times 'cannot be destroyed'" "$(tested $'  lifecycle {\n    prevent_destroy = true\n  }\n')"
