{{/* What every pod has: no API token, no root, no writable image, spread over zones and hosts. */}}

{{- define "lib.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "lib.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* What a Prometheus without the operator looks for in pods: the port of /metrics. */}}
{{- define "lib.scrape" -}}
prometheus.io/scrape: "true"
prometheus.io/port: {{ . | quote }}
prometheus.io/path: /metrics
{{- end }}

{{/* The pod's labels: the chart's own, which selectors look for, win over the caller's. */}}
{{- define "lib.podLabels" -}}
{{- toYaml (mergeOverwrite (deepCopy .Values.podLabels) (include "lib.labels" . | fromYaml)) }}
{{- end }}

{{/* (list . annotations): the pod's annotations, the chart's own first. */}}
{{- define "lib.podAnnotations" -}}
{{- with mergeOverwrite (deepCopy (first .).Values.podAnnotations) (last .) }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "lib.pod" -}}
serviceAccountName: {{ .Release.Name }}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  {{- include "lib.podSecurity" . | nindent 2 }}
{{- include "lib.pullSecrets" . }}
{{- with include "lib.priorityName" . }}
priorityClassName: {{ . }}
{{- end }}
topologySpreadConstraints:
  {{- range $key, $when := dict "topology.kubernetes.io/zone" .Values.spread.zone "kubernetes.io/hostname" .Values.spread.host }}
  - topologyKey: {{ $key }}
    maxSkew: 1
    whenUnsatisfiable: {{ $when }}
    {{- if and $.Values.spread.minDomains (hasSuffix "/zone" $key) }}
    {{- if ne $when "DoNotSchedule" }}
    {{- fail "spread.minDomains needs spread.zone DoNotSchedule: Kubernetes counts zones only where it may refuse" }}
    {{- end }}
    minDomains: {{ $.Values.spread.minDomains }}
    {{- end }}
    nodeTaintsPolicy: {{ $.Values.spread.nodeTaintsPolicy }}
    {{- with $.Values.spread.matchLabelKeys }}
    matchLabelKeys: {{ toJson . }}
    {{- end }}
    labelSelector:
      matchLabels:
        {{- include "lib.selector" $ | nindent 8 }}
  {{- end }}
{{- with .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "lib.pullSecrets" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end }}

{{/* An HTTP probe: (dict "path" "/alive" "port" "http" "period" 5 "failures" 3 "host" ""). */}}
{{- define "lib.probe" -}}
httpGet:
  path: {{ .path }}
  port: {{ .port }}
  {{- with .host }}
  host: {{ . }}
  {{- end }}
periodSeconds: {{ .period }}
timeoutSeconds: 2
failureThreshold: {{ .failures }}
{{- end }}
