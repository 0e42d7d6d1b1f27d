{{/* (list . "port name"): what Prometheus scrapes, with the place as labels. */}}
{{- define "lib.serviceMonitor" -}}
{{- $root := first . }}
{{- with $root.Values.serviceMonitor }}
{{- if .enabled }}
apiVersion: monitoring.coreos.com/v1
kind: ServiceMonitor
metadata:
  {{- include "lib.meta" (list $root) | nindent 2 }}
spec:
  selector:
    matchLabels:
      {{- include "lib.selector" $root | nindent 6 }}
      scrape: "true"
  podTargetLabels: [cloud, region, app.kubernetes.io/instance]
  endpoints:
    - port: {{ last $ }}
      path: /metrics
      interval: {{ .interval }}
      scrapeTimeout: {{ .timeout }}
{{- end }}
{{- end }}
{{- end }}
