#!/usr/bin/env bash
# Joins this machine to the cluster, with the token that the control plane publishes. Until there is one it fails, and
# systemd runs it again.
set -euo pipefail
# shellcheck source=google.sh
source "${LIBRARY:-/usr/local/lib/kubeadm}/google.sh"
# shellcheck source=/dev/null
source "${SETTINGS:-/etc/kubeadm/settings}"

: "${PROJECT:?}" "${SECRET:?}" "${CONTROL_PLANE:?}" "${ADDRESS:?}"
STATE=${STATE:-/var/lib/kubeadm-machine}
mkdir -p -- "$STATE"

if [[ ! -e ${KUBERNETES:-/etc/kubernetes}/kubelet.conf ]]; then
    answer=$(api GET "https://secretmanager.googleapis.com/v1/projects/$PROJECT/secrets/$SECRET/versions/latest:access") ||
        die "the control plane has not published a join token yet"
    join=$(jq --exit-status --raw-output .payload.data <<<"$answer" | base64 --decode)

    umask 077
    config=$(mktemp)
    trap 'rm -f -- "$config"' EXIT
    # The hash of the cluster's authority: without it, the worker would trust any server at that address.
    cat >"$config" <<EOF
apiVersion: kubeadm.k8s.io/v1beta4
kind: JoinConfiguration
discovery:
  bootstrapToken:
    apiServerEndpoint: $CONTROL_PLANE:6443
    token: $(jq --exit-status --raw-output .token <<<"$join")
    caCertHashes:
      - $(jq --exit-status --raw-output .ca <<<"$join")
nodeRegistration:
  criSocket: unix:///run/containerd/containerd.sock
  kubeletExtraArgs:
    - name: node-ip
      value: $ADDRESS
EOF
    kubeadm join --config "$config" || { kubeadm reset --force; die "kubeadm join did not succeed"; }
fi
touch -- "$STATE/done"
