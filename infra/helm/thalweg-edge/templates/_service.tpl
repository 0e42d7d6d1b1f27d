{{/*
What each cloud reads from the public Service beside its spec: reserved addresses, and that nothing takes the balancer away.
The caller's own annotations win.
*/}}

{{- define "edge.serviceAnnotations" -}}
{{- $notes := dict }}
{{- with .Values.service }}
{{- if eq .type "LoadBalancer" }}
{{- if .addresses }}
{{- $notes = merge $notes (include (printf "edge.addresses.%s" $.Values.cloud) $ | fromYaml) }}
{{- end }}
{{- if .protect }}
{{- $notes = merge $notes (include "edge.protected" $ | fromYaml) }}
{{- end }}
{{- if eq $.Values.cloud "aws" }}
{{- $attributes := list "load_balancing.cross_zone.enabled=true" (printf "deletion_protection.enabled=%t" .protect) }}
{{- $_ := set $notes "service.beta.kubernetes.io/aws-load-balancer-attributes" (join "," $attributes) }}
{{- /* Without it the controller refuses one port for TCP and UDP. */}}
{{- range $.Values.listeners }}{{ if has "h3" .protocols }}
{{- $_ := set $notes "service.beta.kubernetes.io/aws-load-balancer-enable-tcp-udp-listener" "true" }}
{{- end }}{{ end }}
{{- end }}
{{- else if .addresses }}
{{- fail (printf "service.addresses needs service.type LoadBalancer, not %s" .type) }}
{{- end }}
{{- end }}
{{- mergeOverwrite $notes .Values.service.annotations | toYaml }}
{{- end }}

{{/* Helm keeps it on uninstall, and so does Flux, whose releases are helm's; Argo CD neither prunes nor deletes it. */}}
{{- define "edge.protected" -}}
helm.sh/resource-policy: keep
argocd.argoproj.io/sync-options: Prune=false,Delete=false
{{- end }}

{{- define "edge.addresses.local" -}}
{{- fail "service.addresses is read on AWS, Google Cloud and Azure only" }}
{{- end }}

{{- define "edge.addresses.aws" -}}
{{- range .Values.service.addresses }}
{{- if not (hasPrefix "eipalloc-" .) }}
{{- fail (printf "service.addresses on AWS are EIP allocations (eipalloc-…), one per public subnet: %s" .) }}
{{- end }}
{{- end -}}
service.beta.kubernetes.io/aws-load-balancer-eip-allocations: {{ join "," .Values.service.addresses | quote }}
{{- end }}

{{/* One of each family. */}}
{{- define "edge.addresses.gcp" -}}
networking.gke.io/load-balancer-ip-addresses: {{ join "," .Values.service.addresses | quote }}
{{- end }}

{{- define "edge.addresses.azure" -}}
{{- if gt (len .Values.service.addresses) 2 }}
{{- fail "service.addresses on Azure: one public IP for IPv4, then one for IPv6" }}
{{- end -}}
service.beta.kubernetes.io/azure-pip-name: {{ first .Values.service.addresses | quote }}
{{- with rest .Values.service.addresses }}
service.beta.kubernetes.io/azure-pip-name-ipv6: {{ first . | quote }}
{{- end }}
{{- end }}
