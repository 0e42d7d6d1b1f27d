{{/* What a Gateway and an Ingress share: hosts, names, and whether strangers are kept out. */}}

{{/* The hosts under the release's own label, as JSON. */}}
{{- define "app.hosts" -}}
{{- $hosts := list }}
{{- range .Values.expose.hosts }}
{{- $hosts = append $hosts (empty $.Values.expose.subdomain | ternary . (printf "%s.%s" $.Values.expose.subdomain .)) }}
{{- end }}
{{- toJson $hosts }}
{{- end }}

{{/* Where the Gateway and what belongs to it are. */}}
{{- define "app.gatewayNamespace" -}}
{{ eq .Values.expose.by "gateway" | ternary .Values.gateway.namespace "" | default .Release.Namespace }}
{{- end }}

{{/*
A balancer that is open to the world is never the result of a value that was forgotten, and a list that no balancer reads
never looks like a lock.
*/}}
{{- define "app.closed" -}}
{{- $listed := has .Values.cloud (list "aws" "azure") }}
{{- $allow := .Values.expose.allow }}
{{- if and $listed (empty $allow) }}
{{- fail "expose.allow is empty: name the edges' egress addresses, or 0.0.0.0/0 if everybody is meant" }}
{{- else if and (not $listed) $allow }}
{{- fail (printf "expose.allow is read on AWS and Azure only: on Google Cloud gateway.allowPolicy names a policy that has the list; with cloud %s close the balancer yourself" .Values.cloud) }}
{{- end }}
{{- if and (eq .Values.cloud "gcp") (empty .Values.gateway.allowPolicy) }}
{{- fail "gateway.allowPolicy is empty: name the Cloud Armor policy that lets the edges in and nobody else" }}
{{- end }}
{{- if and (ne .Values.cloud "local") (empty .Values.gateway.tlsPolicy) }}
{{- fail "gateway.tlsPolicy is empty: the balancer's own default may take TLS 1.0" }}
{{- end }}
{{- end }}
