#!/usr/bin/env bash
# Makes the control plane: kubeadm init, the network and the policy engine, the first join token, the timers. When a
# step fails systemd runs it again, and what is done already is left alone.
set -euo pipefail
# shellcheck source=google.sh
source "${LIBRARY:-/usr/local/lib/kubeadm}/google.sh"

STATE=${STATE:-/var/lib/kubeadm-machine}
KUBERNETES=${KUBERNETES:-/etc/kubernetes}
mkdir -p -- "$STATE"

# The key that encrypts Secrets in etcd is made here and leaves the machine only inside a snapshot.
if [[ ! -e $KUBERNETES/encryption/config.yaml ]]; then
    umask 077
    mkdir -p -- "$KUBERNETES/encryption"
    cat >"$KUBERNETES/encryption/config.yaml.new" <<EOF
apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
  - resources: [secrets]
    providers:
      - secretbox:
          keys:
            - name: first
              secret: $(head -c 32 /dev/urandom | base64 --wrap=0)
      - identity: {}
EOF
    mv -- "$KUBERNETES/encryption/config.yaml.new" "$KUBERNETES/encryption/config.yaml"
    umask 022
fi

if [[ ! -e $STATE/initialised ]]; then
    # A half-made control plane cannot be continued, only made anew. It never held anything yet.
    kubeadm init --skip-token-print --config "${CONFIG:-/etc/kubeadm}/init.yaml" || { kubeadm reset --force; die "kubeadm init did not succeed"; }
    touch -- "$STATE/initialised"
fi

export KUBECONFIG=$KUBERNETES/admin.conf
kubectl apply --filename "${CONFIG:-/etc/kubeadm}/addons"
"${LIBRARY:-/usr/local/lib/kubeadm}/join-token.sh"
systemctl enable --now join-token.timer etcd-snapshot.timer
touch -- "$STATE/done"
