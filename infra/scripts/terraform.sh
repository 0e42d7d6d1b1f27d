#!/usr/bin/env bash
# One step of Terraform in one place. `apply` applies the plan that was read, and nothing else: the plan's checksum and its
# commit travel with it, and a plan of another commit is refused.
#
#   terraform.sh plan ENVIRONMENT/PLACE      writes plan/plan, plan/plan.txt, plan/commit, plan/sha256
#   terraform.sh apply ENVIRONMENT/PLACE     of what is in plan/
#   terraform.sh drift ENVIRONMENT/PLACE     fails when anything differs
#
# Reads STATE_BUCKET (AWS and Google Cloud; Azure's backend is in its folder), PLAN (plan).
# Exit status: 0; 1 terraform's own; 2 usage, or a plan that is not the one that was read; 3 drift.
set -euo pipefail
# shellcheck source=infra/scripts/lib.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

(($# == 2)) || die 2 "plan, apply or drift, and ENVIRONMENT/PLACE are needed"
one_of step "$1" plan apply drift
folder=$ROOT/infra/terraform/environments/$2
[[ $2 =~ ^[a-z]+/[a-z0-9-]+$ && -d $folder ]] || die 2 "there is no place $2"
mkdir -p "${PLAN:-plan}"
plan=$(realpath -- "${PLAN:-plan}")
commit=$(git -C "$ROOT" rev-parse HEAD)
sum() { sha256sum "$plan/plan" | cut -d' ' -f1; }

backend=()
[[ -z ${STATE_BUCKET:-} ]] || backend=(-backend-config="bucket=$STATE_BUCKET")
export TF_IN_AUTOMATION=1 TF_INPUT=0
if [[ $1 == apply ]]; then
    [[ -s $plan/plan && -s $plan/commit && -s $plan/sha256 ]] || die 2 "there is no plan to apply"
    [[ $(<"$plan/commit") == "$commit $2" ]] || die 2 "the plan is of '$(<"$plan/commit")', not of '$commit $2'"
    [[ $(<"$plan/sha256") == "$(sum)" ]] || die 2 "the plan is not the one that was read"
fi
terraform -chdir="$folder" init -lockfile=readonly "${backend[@]}"
case $1 in
    apply) terraform -chdir="$folder" apply -lock-timeout=5m "$plan/plan" ;;
    plan | drift)
        code=0
        terraform -chdir="$folder" plan -detailed-exitcode -lock-timeout=5m -out="$plan/plan" || code=$?
        ((code == 0 || code == 2)) || exit 1
        if [[ $1 == drift ]]; then
            ((code == 0)) || die 3 "$2 differs from $commit"
            exit
        fi
        terraform -chdir="$folder" show -no-color "$plan/plan" >"$plan/plan.txt"
        echo "$commit $2" >"$plan/commit"
        sum >"$plan/sha256"
        changes=$([[ $code == 2 ]] && echo true || echo false)
        [[ -z ${GITHUB_OUTPUT:-} ]] || echo "changes=$changes" >>"$GITHUB_OUTPUT"
        say "$2: changes: $changes"
        ;;
esac
