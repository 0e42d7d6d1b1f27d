{{/*
(list . "port name"): what Prometheus scrapes. Jobs and labels are those of infra/monitoring/prometheus/prometheus.yml.
The operator's own label `endpoint` must go: the edge's metrics carry one. So do `cloud` and `region`, those of the pools: where
an edge stands is edge_cloud and edge_region.
*/}}
{{- define "lib.serviceMonitor" -}}
{{- $root := first . }}
{{- $edge := eq $root.Chart.Name "thalweg-edge" }}
{{- with $root.Values.serviceMonitor }}
{{- if .enabled }}
apiVersion: monitoring.coreos.com/v1
kind: ServiceMonitor
metadata:
  {{- include "lib.meta" (list $root) | nindent 2 }}
    {{- with .labels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  selector:
    matchLabels:
      {{- include "lib.selector" $root | nindent 6 }}
      scrape: "true"
  endpoints:
    - port: {{ last $ }}
      path: /metrics
      interval: {{ .interval }}
      scrapeTimeout: {{ .timeout }}
      relabelings:
        - { action: labeldrop, regex: endpoint|container|service }
        - { action: replace, targetLabel: job, replacement: {{ ternary "thalweg" "fastapi" $edge }} }
        {{- range $place := list "cloud" "region" }}
        - action: replace
          sourceLabels: [__meta_kubernetes_pod_label_{{ $place }}]
          targetLabel: {{ ternary "edge_" "" $edge }}{{ $place }}
        {{- end }}
        {{- if not $edge }}
        - action: replace
          sourceLabels: [__meta_kubernetes_pod_label_app_kubernetes_io_instance]
          targetLabel: service
        {{- end }}
{{- end }}
{{- end }}
{{- end }}
