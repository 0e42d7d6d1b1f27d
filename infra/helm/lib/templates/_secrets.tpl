{{/* Secrets from where they are kept, certificates from cert-manager: no value file holds one. */}}

{{- define "lib.secretProvider" -}}
{{- $root := first . }}
{{- with $root.Values.externalSecret }}
{{- if eq .provider "aws" }}
aws:
  service: SecretsManager
  region: {{ .aws.region | default $root.Values.region }}
  auth:
    jwt:
      serviceAccountRef:
        name: {{ $root.Release.Name }}
{{- else if eq .provider "gcp" }}
gcpsm:
  projectID: {{ required "externalSecret.gcp.project is needed with provider gcp" .gcp.project }}
  auth:
    workloadIdentity:
      clusterLocation: {{ .gcp.location | default $root.Values.region }}
      clusterName: {{ required "externalSecret.gcp.cluster is needed with provider gcp" .gcp.cluster }}
      serviceAccountRef:
        name: {{ $root.Release.Name }}
{{- else if eq .provider "azure" }}
azurekv:
  authType: WorkloadIdentity
  vaultUrl: {{ required "externalSecret.azure.vaultUrl is needed with provider azure" .azure.vaultUrl }}
  tenantId: {{ required "externalSecret.azure.tenantId is needed with provider azure" .azure.tenantId | quote }}
  serviceAccountRef:
    name: {{ $root.Release.Name }}
{{- else }}
vault:
  server: {{ required "externalSecret.vault.server is needed with provider vault" .vault.server }}
  path: {{ .vault.path }}
  version: v2
  auth:
    kubernetes:
      mountPath: kubernetes
      role: {{ .vault.role | default $root.Release.Name }}
      serviceAccountRef:
        name: {{ $root.Release.Name }}
{{- end }}
{{- end }}
{{- end }}

{{- define "lib.externalSecret" -}}
{{- with .Values.externalSecret }}
{{- if .enabled }}
apiVersion: external-secrets.io/v1
kind: SecretStore
metadata:
  {{- include "lib.meta" (list $) | nindent 2 }}
spec:
  provider:
    {{- include "lib.secretProvider" (list $) | trim | nindent 4 }}
---
apiVersion: external-secrets.io/v1
kind: ExternalSecret
metadata:
  {{- include "lib.meta" (list $) | nindent 2 }}
spec:
  refreshInterval: {{ .refresh }}
  secretStoreRef:
    kind: SecretStore
    name: {{ $.Release.Name }}
  target:
    name: {{ $.Release.Name }}-secrets
    creationPolicy: Owner
  data:
    {{- range $key, $remote := .keys }}
    - secretKey: {{ $key }}
      remoteRef:
        key: {{ $remote.name | quote }}
        {{- with $remote.property | default (ternary "value" "" (eq $.Values.externalSecret.provider "vault")) }}
        property: {{ . | quote }}
        {{- end }}
    {{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* (list . hosts namespace): a certificate in the Secret `<release>-tls`. */}}
{{- define "lib.certificate" -}}
{{- $root := first . }}
{{- with $root.Values.certificate }}
{{- if .enabled }}
apiVersion: cert-manager.io/v1
kind: Certificate
metadata:
  name: {{ $root.Release.Name }}
  namespace: {{ last $ }}
  labels:
    {{- include "lib.labels" $root | nindent 4 }}
spec:
  secretName: {{ $root.Release.Name }}-tls
  dnsNames:
    {{- range index $ 1 }}
    - {{ . | quote }}
    {{- end }}
  duration: 2160h
  # Of its life, not a number of hours: right for every authority's length.
  renewBeforePercentage: {{ .renewBeforePercentage }}
  privateKey:
    algorithm: ECDSA
    size: 256
    rotationPolicy: Always
  usages: [digital signature, server auth]
  issuerRef:
    group: cert-manager.io
    kind: {{ .issuer.kind }}
    name: {{ .issuer.name }}
{{- end }}
{{- end }}
{{- end }}
