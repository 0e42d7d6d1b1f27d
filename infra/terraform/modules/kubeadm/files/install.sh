#!/usr/bin/env bash
# Installs what every machine of the cluster needs: containerd as the distribution ships it, kubelet, kubeadm and
# kubectl from the Kubernetes project, whose key is compared with a known fingerprint. Repeating it changes nothing.
set -euo pipefail
# shellcheck source=google.sh
source "${LIBRARY:-/usr/local/lib/kubeadm}/google.sh"
# shellcheck source=/dev/null
source "${SETTINGS:-/etc/kubeadm/settings}"

: "${KUBERNETES_MINOR:?}" "${KEY_FINGERPRINT:?}"
KEYRING=${KEYRING:-/etc/apt/keyrings/kubernetes.gpg}
SOURCES=${SOURCES:-/etc/apt/sources.list.d/kubernetes.list}

repository=https://pkgs.k8s.io/core:/stable:/v$KUBERNETES_MINOR/deb/

modprobe overlay
modprobe br_netfilter
sysctl --quiet --system

# Kubernetes 1.36 and later do not talk to containerd 1.
version=$(containerd --version | grep -oE '[0-9]+\.[0-9]+\.[0-9]+' | head -n 1)
[[ ${version%%.*} -ge 2 ]] || die "containerd $version is too old: take an image whose distribution ships containerd 2"

key=$(mktemp)
trap 'rm -f -- "$key"' EXIT
curl --silent --show-error --fail --location --output "$key" "${repository}Release.key"
found=$(gpg --show-keys --with-colons "$key" | awk -F: '$1 == "fpr" { print $10; exit }')
[[ $found == "$KEY_FINGERPRINT" ]] || die "the key at $repository is $found, not $KEY_FINGERPRINT: nothing is installed"
mkdir -p -- "$(dirname -- "$KEYRING")"
gpg --batch --yes --dearmor --output "$KEYRING" "$key"
chmod 0644 "$KEYRING"
printf 'deb [signed-by=%s] %s /\n' "$KEYRING" "$repository" >"$SOURCES"

export DEBIAN_FRONTEND=noninteractive
apt-get update
apt-get install --yes --no-install-recommends kubelet kubeadm kubectl
# An upgrade of these is a decision, one machine after the other: kubeadm upgrade.
apt-mark hold kubelet kubeadm kubectl

systemctl restart containerd
systemctl enable kubelet
