#!/usr/bin/env bash
# Renders the edges' config of a cloud as GitOps would, and has the edge itself check it. Changes nothing.
#
#   check-config.sh azure|aws|gcp
#
# Reads THALWEG_BIN (thalweg). Needs helm and openssl. Exit status: 0 the edge takes it; 1 it does not, and says where; 2 usage.
set -euo pipefail
# shellcheck source=infra/scripts/lib.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

(($# == 1)) || die 2 "one cloud is needed"
one_of cloud "$1" "${CLOUDS[@]}"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd -- "$ROOT"

# In the order of infra/gitops/argocd/edges.yaml.
files=()
for file in infra/helm/thalweg-edge/values-{"$1",prod}.yaml infra/gitops/values/{,"$1"/}thalweg-edge.yaml \
    infra/gitops/images/thalweg-edge.yaml "infra/gitops/canary/$1/thalweg-edge.yaml"; do
    [[ ! -e $file ]] || files+=(--values "$file")
done
helm template thalweg-edge infra/helm/thalweg-edge --namespace edges "${files[@]}" \
    --show-only templates/configmap.yaml >"$folder/configmap.yaml" || die 1 "the chart refuses these values"
# The block under `thalweg.toml: |`, without its indent.
sed -n '/^  thalweg.toml: |/,$ { /^  thalweg.toml: |/d; s/^    //; p }' "$folder/configmap.yaml" >"$folder/thalweg.toml"
# What the pod mounts, in the place of what it mounts.
mkdir "$folder/thalweg-tls" "$folder/thalweg-admin"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=check -days 1 \
    -keyout "$folder/thalweg-tls/tls.key" -out "$folder/thalweg-tls/tls.crt" 2>/dev/null
printf 'check-only' >"$folder/thalweg-admin/token"
sed -i "s#\"/etc/thalweg-#\"$folder/thalweg-#g" "$folder/thalweg.toml"
"${THALWEG_BIN:-thalweg}" check --config "$folder/thalweg.toml" >&2 || die 1 "the edge refuses the config of $1"
