{{/* Who may do what: the pods nothing, the operators what RUNBOOK.md does by kubectl and no more. */}}

{{- define "lib.rbac" -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  {{- include "lib.meta" (list .) | nindent 2 }}
  {{- with .Values.serviceAccount.annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
automountServiceAccountToken: false
{{- if .Values.rbac.operators }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  {{- include "lib.meta" (list . "operator") | nindent 2 }}
rules:
  - apiGroups: [""]
    resources: [pods, pods/log, events]
    verbs: [get, list, watch]
  - apiGroups: [apps]
    resources: [deployments, replicasets, daemonsets]
    verbs: [get, list, watch]
  - apiGroups: [apps]
    resources: [deployments/scale]
    resourceNames: [{{ .Release.Name }}]
    verbs: [get, patch]
  {{- if .Values.autoscaling.enabled }}
  # The floor of a region that takes over another's traffic.
  - apiGroups: [autoscaling]
    resources: [horizontalpodautoscalers]
    resourceNames: [{{ .Release.Name }}]
    verbs: [get, patch]
  {{- end }}
  # The drill throws the application's own switch inside its pods; an edge's admin port is reached by a forward.
  - apiGroups: [""]
    resources: [pods/exec, pods/portforward]
    verbs: [create]
  {{- if .Values.certificate.enabled }}
  - apiGroups: [cert-manager.io]
    resources: [certificates]
    resourceNames: [{{ .Release.Name }}]
    verbs: [get]
  # A failed request is deleted to have it made again; cert-manager chooses its name.
  - apiGroups: [cert-manager.io]
    resources: [certificaterequests]
    verbs: [get, list, delete]
  {{- end }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  {{- include "lib.meta" (list . "operator") | nindent 2 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: {{ .Release.Name }}-operator
subjects:
  {{- range .Values.rbac.operators }}
  - apiGroup: rbac.authorization.k8s.io
    kind: Group
    name: {{ . | quote }}
  {{- end }}
{{- end }}
{{- end }}
