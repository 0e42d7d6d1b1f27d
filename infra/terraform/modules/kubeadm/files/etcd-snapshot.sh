#!/usr/bin/env bash
# Takes etcd off the machine: a snapshot, the cluster's authorities and the key that encrypts Secrets, as one archive in
# a bucket of another region. A snapshot without those two cannot be used. The machine may add archives, not read them.
set -euo pipefail
# shellcheck source=google.sh
source "${LIBRARY:-/usr/local/lib/kubeadm}/google.sh"
# shellcheck source=/dev/null
source "${SETTINGS:-/etc/kubeadm/settings}"

: "${BUCKET:?}"
KUBERNETES=${KUBERNETES:-/etc/kubernetes}
DATA=${DATA:-/var/lib/etcd}
pki=/etc/kubernetes/pki/etcd
name=$(date --utc +%Y/%m/%d/%H%M%S).tar.gz
umask 077
archive=$(mktemp)
trap 'rm -f -- "$archive" "$DATA/snapshot.db"' EXIT

etcd=$(crictl ps --name '^etcd$' --state Running --quiet | head -n 1)
[[ -n $etcd ]] || die "etcd does not run here"
crictl exec "$etcd" etcdctl --endpoints https://127.0.0.1:2379 --cacert "$pki/ca.crt" --cert "$pki/healthcheck-client.crt" \
    --key "$pki/healthcheck-client.key" snapshot save /var/lib/etcd/snapshot.db
crictl exec "$etcd" etcdutl snapshot status /var/lib/etcd/snapshot.db

tar --create --gzip --file "$archive" --directory "$DATA" snapshot.db --directory "$KUBERNETES" pki encryption
upload "$archive" "https://storage.googleapis.com/$BUCKET/$name"
say "etcd kept as gs://$BUCKET/$name"
