{{/* How many there are, who may take one away, and who goes first when a node is full. */}}

{{- define "lib.hpa" -}}
{{- with .Values.autoscaling }}
{{- if .enabled }}
{{- if gt (int .minReplicas) (int .maxReplicas) }}
{{- fail (printf "autoscaling.minReplicas (%v) is above autoscaling.maxReplicas (%v)" .minReplicas .maxReplicas) }}
{{- end }}
{{- if not (or .cpuPercent .memoryPercent .perPod) }}
{{- fail "autoscaling has nothing to go by: set cpuPercent, memoryPercent or perPod" }}
{{- end }}
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  {{- include "lib.meta" (list $) | nindent 2 }}
spec:
  scaleTargetRef:
    apiVersion: apps/v1
    kind: Deployment
    name: {{ $.Release.Name }}
  minReplicas: {{ .minReplicas }}
  maxReplicas: {{ .maxReplicas }}
  metrics:
    {{- range $name, $target := dict "cpu" .cpuPercent "memory" .memoryPercent }}
    {{- if $target }}
    - type: Resource
      resource:
        name: {{ $name }}
        target: { type: Utilization, averageUtilization: {{ $target }} }
    {{- end }}
    {{- end }}
    {{- range $name, $target := .perPod }}
    - type: Pods
      pods:
        metric: { name: {{ $name }} }
        target: { type: AverageValue, averageValue: {{ $target | quote }} }
    {{- end }}
  behavior:
    # A metric has one target. What keeps the number from going down too early is time, not a second threshold.
    scaleDown:
      stabilizationWindowSeconds: {{ .scaleDownSeconds }}
      policies:
        - { type: Percent, value: 25, periodSeconds: 60 }
        - { type: Pods, value: 1, periodSeconds: 60 }
      selectPolicy: Max
    scaleUp:
      stabilizationWindowSeconds: 0
      policies:
        - { type: Percent, value: 100, periodSeconds: 15 }
        - { type: Pods, value: 4, periodSeconds: 15 }
      selectPolicy: Max
{{- end }}
{{- end }}
{{- end }}

{{/* (list . "Deployment"): the object that the recommendation is for. */}}
{{- define "lib.vpa" -}}
{{- $root := first . }}
{{- with $root.Values.vpa }}
{{- if .enabled }}
{{- if and $root.Values.autoscaling.enabled (ne .updateMode "Off") }}
{{- fail "vpa.updateMode must be Off while autoscaling is enabled: both would act on CPU and memory" }}
{{- end }}
apiVersion: autoscaling.k8s.io/v1
kind: VerticalPodAutoscaler
metadata:
  {{- include "lib.meta" (list $root) | nindent 2 }}
spec:
  targetRef:
    apiVersion: apps/v1
    kind: {{ last $ }}
    name: {{ $root.Release.Name }}
  updatePolicy:
    updateMode: {{ .updateMode | quote }}
{{- end }}
{{- end }}
{{- end }}

{{- define "lib.pdb" -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  {{- include "lib.meta" (list .) | nindent 2 }}
spec:
  # maxUnavailable, not minAvailable: it stays right at every number of replicas.
  maxUnavailable: {{ .Values.disruption.maxUnavailable }}
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels:
      {{- include "lib.selector" . | nindent 6 }}
{{- end }}

{{- define "lib.priorityName" -}}
{{- with .Values.priority }}{{ if .create }}{{ $.Release.Namespace }}-{{ $.Release.Name }}{{ else }}{{ .className }}{{ end }}{{ end }}
{{- end }}

{{- define "lib.priority" -}}
{{- if .Values.priority.create }}
apiVersion: scheduling.k8s.io/v1
kind: PriorityClass
metadata:
  name: {{ include "lib.priorityName" . }}
  labels:
    {{- include "lib.labels" . | nindent 4 }}
value: {{ .Values.priority.value | int }}
globalDefault: false
description: {{ printf "%s: evicted after everything of a lower value" .Chart.Name | quote }}
{{- end }}
{{- end }}
