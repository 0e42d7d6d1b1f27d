#!/usr/bin/env bash
# Puts etcd back to what an archive of etcd-snapshot.sh holds: `etcd-restore.sh ARCHIVE`, as root, on the control plane.
# The data of before stays beside it. When a step fails the control plane goes on with that.
set -euo pipefail
# shellcheck source=google.sh
source "${LIBRARY:-/usr/local/lib/kubeadm}/google.sh"

KUBERNETES=${KUBERNETES:-/etc/kubernetes}
DATA=${DATA:-/var/lib/etcd}
[[ $# == 1 && -s $1 ]] || die "usage: etcd-restore.sh ARCHIVE (an archive out of the bucket of snapshots)"

umask 077
place=$(mktemp --directory "$DATA-restore.XXXXXX")
tar --extract --gzip --file "$1" --directory "$place"
[[ -s $place/snapshot.db ]] || die "$1 holds no snapshot"
cmp --silent "$place/pki/ca.crt" "$KUBERNETES/pki/ca.crt" ||
    die "$1 is of a cluster with other authorities: unpack its pki and encryption first, as the module's README says"

manifest=$KUBERNETES/manifests/etcd.yaml
member=$(sed -n 's/^ *- --name=//p' "$manifest")
peer=$(sed -n 's/^ *- --initial-advertise-peer-urls=//p' "$manifest")
image=$(crictl images --output json | jq --raw-output '[.images[].repoTags[]? | select(contains("/etcd:"))] | last')
[[ -n $member && -n $peer && $image != null ]] || die "etcd's manifest or image is not here: nothing is changed"

# Without manifests the kubelet stops etcd and the API server. They come back whatever happens.
mv -- "$KUBERNETES/manifests" "$KUBERNETES/manifests.stopped"
trap 'mv -- "$KUBERNETES/manifests.stopped" "$KUBERNETES/manifests"' EXIT
for _ in $(seq 60); do
    [[ -z $(crictl ps --name '^(etcd|kube-apiserver)$' --state Running --quiet) ]] && break
    sleep "${PAUSE:-1}"
done
[[ -z $(crictl ps --name '^(etcd|kube-apiserver)$' --state Running --quiet) ]] || die "etcd does not stop: nothing is changed"

# Revisions jump ahead and old ones are gone, so that no controller takes its cache for newer than what is restored.
ctr --namespace k8s.io run --rm --mount "type=bind,src=$place,dst=/restore,options=rbind:rw" "$image" "restore-$$" \
    etcdutl snapshot restore /restore/snapshot.db --data-dir /restore/etcd \
    --name "$member" --initial-cluster "$member=$peer" --initial-advertise-peer-urls "$peer" \
    --bump-revision 1000000000 --mark-compacted
[[ -d $place/etcd/member ]] || die "the snapshot could not be unpacked: nothing is changed"

before=$DATA.before-$(date --utc +%Y%m%dT%H%M%SZ)
mv -- "$DATA" "$before"
mv -- "$place/etcd" "$DATA"
rm -rf -- "$place"
say "etcd is restored; what was there before is in $before"
