{{/*
thalweg.toml from values. The chart owns what must agree with the pod (name, place, drain, admin, listeners);
everything else is taken as it stands in `config`, whose schema is the edge's own.
Values are written by edge.value, not by toToml: that turns whole numbers into floats, which the edge refuses.
*/}}

{{- define "edge.value" -}}
{{- if kindIs "map" . -}}
{ {{- $first := true }}
{{- range $key, $value := . }}
{{- if not $first }},{{ end }} {{ toRawJson $key }} = {{ include "edge.value" $value }}{{ $first = false }}
{{- end }} }
{{- else if kindIs "slice" . -}}
[{{ range $at, $value := . }}{{ if $at }}, {{ end }}{{ include "edge.value" $value }}{{ end }}]
{{- else -}}
{{ toRawJson . }}
{{- end -}}
{{- end }}

{{/* A table's lines: (dict "key" value). */}}
{{- define "edge.table" -}}
{{- range $key, $value := . }}
{{ $key }} = {{ include "edge.value" $value }}
{{- end }}
{{- end }}

{{/* "[::]" takes both families; it needs a pod that has IPv6. */}}
{{- define "edge.anyAddress" -}}{{ ternary "[::]" "0.0.0.0" .Values.dualStack }}{{- end }}

{{- define "edge.adminBind" -}}
{{ if .Values.hostNetwork }}127.0.0.1{{ else }}{{ include "edge.anyAddress" . }}{{ end }}:9900
{{- end }}

{{- define "edge.tlsSecret" -}}
{{- if .Values.certificate.enabled }}{{ .Release.Name }}-tls{{ else }}{{ .Values.certificate.secretName }}{{ end }}
{{- end }}

{{/* (list . listener) */}}
{{- define "edge.listener" -}}
{{- $root := first . }}
{{- with last . -}}
[[listener]]
name = {{ toRawJson .name }}
bind = "{{ include "edge.anyAddress" $root }}:{{ .port }}"
{{- with .protocols }}
protocols = {{ include "edge.value" . }}
{{- end }}
{{- if .tls }}
[listener.tls]
certificates = [{ cert = "/etc/thalweg-tls/tls.crt", key = "/etc/thalweg-tls/tls.key" }]
min_version = {{ .minVersion | default "1.2" | quote }}
{{- end }}
{{- end }}
{{- end }}

{{/* Whether the edge keeps something in a volume of its own. */}}
{{- define "edge.state" -}}{{ if or .Values.state.enabled .Values.fleet.enabled }}yes{{ end }}{{- end }}

{{- define "edge.fleet" -}}
{{- with .Values.fleet }}
{{- if .enabled }}
{{- if and .ca (not .secretName) }}
{{- fail "fleet.ca is read from fleet.secretName, which is empty" }}
{{- end }}

[fleet]
nats = {{ include "edge.value" .servers }}
verify = "fleet.pub"
{{- if .secretName }}
credentials = "/etc/thalweg-fleet/credentials"
{{- end }}
{{- if .ca }}
ca = "/etc/thalweg-fleet/ca.crt"
{{- end }}
ring = {{ .ring | quote }}
{{- end }}
{{- end }}
{{- end }}

{{- define "edge.config" -}}
version = 1

[edge]
{{- $drain := .Values.drain }}
{{- $own := dict "cloud" .Values.cloud "region" .Values.region
      "drain_delay" (printf "%vs" $drain.delaySeconds) "drain_timeout" (printf "%vs" $drain.timeoutSeconds) }}
{{- if include "edge.state" . }}{{ $_ := set $own "state_dir" "/var/lib/thalweg" }}{{ end }}
{{- include "edge.table" (merge $own (.Values.config.edge | default dict)) }}

[admin]
bind = {{ include "edge.adminBind" . | trim | quote }}
{{- if include "lib.secretName" . }}
token_file = "/etc/thalweg-admin/token"
{{- end }}
{{- range .Values.listeners }}
{{- if and .tls (not (include "edge.tlsSecret" $)) }}
{{- fail (printf "listener %q has tls, but there is no certificate: set certificate.enabled or certificate.secretName" .name) }}
{{- end }}
{{- if and (has "h3" .protocols) (not .tls) }}
{{- fail (printf "listener %q has h3, which needs tls: QUIC is always encrypted" .name) }}
{{- end }}

{{ include "edge.listener" (list $ .) }}
{{- end }}
{{- include "edge.fleet" . }}
{{- range $section, $body := omit .Values.config "edge" }}
{{- if has $section (list "probe" "pool" "route") }}
{{- range $name, $table := $body }}

[{{ $section }}.{{ toRawJson $name }}]
{{- include "edge.table" $table }}
{{- end }}
{{- else if $body }}

[{{ $section }}]
{{- include "edge.table" $body }}
{{- end }}
{{- end }}
{{- end }}

{{/* The ports that the pools and probes name, for the way out: 443,8000 */}}
{{- define "edge.endpointPorts" -}}
{{- $ports := list }}
{{- range .Values.config.pool }}{{ range .endpoints }}
{{- $ports = append $ports (regexFind "[0-9]+$" .address) }}
{{- end }}{{ end }}
{{- range .Values.config.probe }}{{ with .port }}
{{- $ports = append $ports (toString .) }}
{{- end }}{{ end }}
{{- $ports | uniq | sortAlpha | join "," }}
{{- end }}
