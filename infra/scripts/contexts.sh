#!/usr/bin/env bash
# One kubectl context per cluster, named as the waves name it, from the cloud's own login. Nothing is stored but the
# addresses of the clusters: every call asks the cloud for a short-lived token.
#
#   contexts.sh azure|aws|gcp...
#
# Reads AWS_REGION CLUSTER_AWS · GCP_REGION GCP_PROJECT CLUSTER_GCP · AZURE_RESOURCE_GROUP CLUSTER_AZURE.
# Exit status: 0; 2 usage or a variable that is missing; else the tool's own.
set -euo pipefail
# shellcheck source=infra/scripts/lib.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

(($#)) || die 2 "name at least one of: ${CLOUDS[*]}"
for cloud in "$@"; do one_of cloud "$cloud" "${CLOUDS[@]}"; done
for cloud in "$@"; do
    case $cloud in
        aws)
            need AWS_REGION CLUSTER_AWS
            aws eks update-kubeconfig --region "$AWS_REGION" --name "$CLUSTER_AWS" --alias "${CLUSTERS[aws]}"
            ;;
        gcp)
            need GCP_REGION GCP_PROJECT CLUSTER_GCP
            gcloud container clusters get-credentials "$CLUSTER_GCP" --region "$GCP_REGION" --project "$GCP_PROJECT" --dns-endpoint
            kubectl config delete-context "${CLUSTERS[gcp]}" >/dev/null 2>&1 || true
            kubectl config rename-context "gke_${GCP_PROJECT}_${GCP_REGION}_$CLUSTER_GCP" "${CLUSTERS[gcp]}"
            ;;
        azure)
            need AZURE_RESOURCE_GROUP CLUSTER_AZURE
            az aks get-credentials --resource-group "$AZURE_RESOURCE_GROUP" --name "$CLUSTER_AZURE" \
                --context "${CLUSTERS[azure]}" --overwrite-existing
            kubelogin convert-kubeconfig --login azurecli --context "${CLUSTERS[azure]}"
            ;;
    esac
done
