{{/* The pod of an edge, the same under a Deployment and a DaemonSet. */}}

{{- define "edge.container" -}}
{{- $host := ternary "127.0.0.1" "" .Values.hostNetwork }}
name: thalweg
image: {{ include "lib.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
args: [run, --config, /etc/thalweg/thalweg.toml]
securityContext:
  {{- include "lib.containerSecurity" . | nindent 2 }}
ports:
  {{- range .Values.listeners }}
  - { name: {{ .name }}, containerPort: {{ .port }}, protocol: TCP }
  {{- if has "h3" .protocols }}
  - { name: udp-{{ .port }}, containerPort: {{ .port }}, protocol: UDP }
  {{- end }}
  {{- end }}
  - { name: admin, containerPort: 9900, protocol: TCP }
startupProbe:
  {{- include "lib.probe" (dict "path" "/livez" "port" "admin" "period" 1 "failures" 30 "host" $host) | nindent 2 }}
# Ready once every route's first probe round has ended; not ready from the start of a drain.
readinessProbe:
  {{- include "lib.probe" (dict "path" "/readyz" "port" "admin" "period" 2 "failures" 2 "host" $host) | nindent 2 }}
livenessProbe:
  {{- include "lib.probe" (dict "path" "/livez" "port" "admin" "period" 5 "failures" 3 "host" $host) | nindent 2 }}
resources:
  {{- toYaml .Values.resources | nindent 2 }}
volumeMounts:
  # Directories, never a subPath: those are not updated.
  - { name: config, mountPath: /etc/thalweg, readOnly: true }
  {{- if include "edge.tlsSecret" . }}
  - { name: tls, mountPath: /etc/thalweg-tls, readOnly: true }
  {{- end }}
  {{- if .Values.clientCertificate.secretName }}
  - { name: client, mountPath: /etc/thalweg-client, readOnly: true }
  {{- end }}
  {{- if include "lib.secretName" . }}
  - { name: admin, mountPath: /etc/thalweg-admin, readOnly: true }
  {{- end }}
  {{- if include "edge.fleetSecret" . }}
  - { name: fleet, mountPath: /etc/thalweg-fleet, readOnly: true }
  {{- end }}
  {{- if include "edge.state" . }}
  - { name: state, mountPath: /var/lib/thalweg }
  {{- end }}
{{- end }}

{{- define "edge.fleetSecret" -}}{{ if .Values.fleet.enabled }}{{ .Values.fleet.secretName }}{{ end }}{{- end }}

{{- define "edge.fleetVolume" -}}
{{- with include "edge.fleetSecret" . }}
- name: fleet
  secret: { secretName: {{ . }}, defaultMode: 0440 }
{{- end }}
{{- end }}

{{- define "edge.pod" -}}
metadata:
  labels:
    {{- include "lib.podLabels" . | nindent 4 }}
  {{- $own := ternary "" (include "lib.scrape" 9900) .Values.hostNetwork | fromYaml }}
  {{- include "lib.podAnnotations" (list . $own) | nindent 2 }}
spec:
  {{- include "lib.pod" . | nindent 2 }}
  {{- if .Values.hostNetwork }}
  hostNetwork: true
  dnsPolicy: ClusterFirstWithHostNet
  {{- end }}
  # The edge drains by itself on SIGTERM; the margin is for its exit.
  terminationGracePeriodSeconds: {{ add .Values.drain.delaySeconds .Values.drain.timeoutSeconds 10 }}
  containers:
    - {{- include "edge.container" . | nindent 6 }}
  volumes:
    - name: config
      configMap: { name: {{ .Release.Name }} }
    {{- with include "edge.tlsSecret" . }}
    - name: tls
      secret: { secretName: {{ . }}, defaultMode: 0440 }
    {{- end }}
    {{- with .Values.clientCertificate.secretName }}
    - name: client
      secret: { secretName: {{ . }}, defaultMode: 0440 }
    {{- end }}
    {{- with include "lib.secretName" . }}
    - name: admin
      secret: { secretName: {{ . }}, defaultMode: 0440 }
    {{- end }}
    {{- include "edge.fleetVolume" . | nindent 4 }}
    {{- if include "edge.state" . }}
    - name: state
      emptyDir: { sizeLimit: {{ .Values.state.sizeLimit }} }
    {{- end }}
{{- end }}
