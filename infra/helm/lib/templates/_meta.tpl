{{/* Names, labels and the image: said once, so that a selector can never miss what it selects. */}}

{{- define "lib.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: serving
{{- end }}

{{- define "lib.labels" -}}
{{ include "lib.selector" . }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | trunc 63 | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: thalweg
cloud: {{ .Values.cloud | quote }}
region: {{ .Values.region | quote }}
{{- end }}

{{/* metadata of an object: (list . "suffix"); no suffix, the release's name alone. */}}
{{- define "lib.meta" -}}
{{- $root := first . -}}
name: {{ concat (list $root.Release.Name) (rest .) | join "-" }}
namespace: {{ $root.Release.Namespace }}
labels:
  {{- include "lib.labels" $root | nindent 2 }}
{{- end }}

{{/* The image: by digest if there is one, else by tag, else by the chart's appVersion. */}}
{{- define "lib.image" -}}
{{ include "lib.imageOf" (merge (dict) .Values.image (dict "tag" .Chart.AppVersion)) }}
{{- end }}

{{/* (dict "repository" "tag" "digest"): by digest if there is one. */}}
{{- define "lib.imageOf" -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag }}{{ end }}
{{- end }}

{{/* Where secrets are: made by External Secrets, or named by `secretName`; empty if there are none. */}}
{{- define "lib.secretName" -}}
{{- if .Values.externalSecret.enabled }}{{ .Release.Name }}-secrets{{ else }}{{ .Values.secretName }}{{ end }}
{{- end }}
