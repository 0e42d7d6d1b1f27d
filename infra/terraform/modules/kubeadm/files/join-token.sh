#!/usr/bin/env bash
# Publishes a join token of 24 hours for the workers, in Secret Manager, and destroys the ones before. Runs twice a day,
# so that a worker that is replaced finds one that is valid.
set -euo pipefail
# shellcheck source=google.sh
source "${LIBRARY:-/usr/local/lib/kubeadm}/google.sh"
# shellcheck source=/dev/null
source "${SETTINGS:-/etc/kubeadm/settings}"

: "${PROJECT:?}" "${SECRET:?}"
export KUBECONFIG=${KUBERNETES:-/etc/kubernetes}/admin.conf
secret=https://secretmanager.googleapis.com/v1/projects/$PROJECT/secrets/$SECRET

created=$(kubeadm token create --ttl 24h --description "workers, until the next one")
hash=$(openssl x509 -pubkey -noout -in "${KUBERNETES:-/etc/kubernetes}/pki/ca.crt" |
    openssl pkey -pubin -outform der | openssl dgst -sha256 -hex | awk '{ print $NF }')
payload=$(jq --null-input --compact-output --arg token "$created" --arg hash "sha256:$hash" '{token: $token, ca: $hash}' | base64 --wrap=0)

new=$(api POST "$secret:addVersion" "{\"payload\":{\"data\":\"$payload\"}}" | jq --exit-status --raw-output .name)
api GET "$secret/versions?filter=state:ENABLED&pageSize=100" | jq --raw-output '.versions[]?.name' |
    while read -r version; do
        [[ $version == "$new" ]] || api POST "https://secretmanager.googleapis.com/v1/$version:destroy" '{}' >/dev/null
    done
say "join token published as ${new##*/}"
