#!/usr/bin/env bash
# Brings an overlay to the kubeadm cluster over SSH: its API listens to nobody outside. The manifests are made here and sent;
# nothing of this repository is kept there. When the new pods do not become ready, the old ones are taken back.
#
#   deploy-kubeadm.sh development|staging|production IMAGE@sha256:DIGEST
#
# Reads CONTROL_PLANE_IP, CONTROL_PLANE_KEY (its host key, a line of known_hosts without the name), SSH_PRIVATE_KEY.
# Exit status: 0 rolled out; 1 taken back; 2 usage; 4 neither: it says what to do.
set -euo pipefail
# shellcheck source=infra/scripts/lib.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

(($# == 2)) || die 2 "ENVIRONMENT and IMAGE@DIGEST are needed"
one_of environment "$1" development staging production
declare -A overlays=([development]=dev [staging]=stage [production]=prod)
stage=${overlays[$1]} image=$2
is_digest "${image##*@}" || die 2 "'$image' has no digest"
need CONTROL_PLANE_IP CONTROL_PLANE_KEY SSH_PRIVATE_KEY

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
(umask 077 && printf '%s\n' "$SSH_PRIVATE_KEY" >"$folder/key")
# The host key is known beforehand: whoever answers first is not trusted for that.
printf '%s %s\n' "$CONTROL_PLANE_IP" "$CONTROL_PLANE_KEY" >"$folder/known_hosts"
there() {
    ssh -i "$folder/key" -o "UserKnownHostsFile=$folder/known_hosts" -o StrictHostKeyChecking=yes -o BatchMode=yes \
        -o ConnectTimeout=10 "deploy@$CONTROL_PLANE_IP" "$@"
}

kubectl kustomize "$ROOT/infra/kustomize/overlays/$stage" >"$folder/made.yaml"
name=$(sed -n 's/^ *image: *//p' "$folder/made.yaml" | sort -u)
[[ $(wc -l <<<"$name") == 1 && -n $name ]] || die 2 "the overlay has not one image but: $name"
sed "s#^\( *image: *\).*#\1$image#" "$folder/made.yaml" >"$folder/pinned.yaml"
# shellcheck disable=SC2029 # the namespace is one of three words
rollout() { there kubectl --namespace "$stage" rollout "$@"; }
there kubectl apply -f - <"$folder/pinned.yaml" || die 4 "the cluster did not take the manifests; what runs there is what ran"
rollout status deployment/fastapi-app --timeout 5m || {
    { rollout undo deployment/fastapi-app && rollout status deployment/fastapi-app --timeout 5m; } ||
        die 4 "not rolled out and not taken back; there: kubectl --namespace $stage rollout undo deployment/fastapi-app"
    die 1 "$image did not become ready; the one before runs"
}
say "$stage runs $image"
