{{/* Everything is denied, then what is needed is named: clients, Prometheus, DNS, where it calls. */}}

{{/* One peer: {cidr, except} | {namespace} | {release} (a release in the same namespace). */}}
{{- define "lib.peer" -}}
{{- if .cidr }}
- ipBlock:
    cidr: {{ .cidr }}
    {{- with .except }}
    except:
      {{- toYaml . | nindent 6 }}
    {{- end }}
{{- else if .namespace }}
- namespaceSelector:
    matchLabels:
      kubernetes.io/metadata.name: {{ .namespace }}
{{- else }}
- podSelector:
    matchLabels:
      app.kubernetes.io/instance: {{ .release }}
      app.kubernetes.io/component: serving
{{- end }}
{{- end }}

{{/* Ports of TCP: 443; of UDP: "443/UDP". */}}
{{- define "lib.ports" -}}
{{- range . }}
{{- $port := splitList "/" (toString .) }}
- { port: {{ first $port }}, protocol: {{ last $port | eq (first $port) | ternary "TCP" (last $port) }} }
{{- end }}
{{- end }}

{{- define "lib.dnsEgress" -}}
- to:
    - namespaceSelector:
        matchLabels:
          kubernetes.io/metadata.name: kube-system
    # No pods, so no selector finds them: Google's Cloud DNS, and NodeLocal DNSCache.
    - ipBlock: { cidr: 169.254.169.254/32 }
    - ipBlock: { cidr: 169.254.20.10/32 }
  ports:
    - { port: 53, protocol: UDP }
    - { port: 53, protocol: TCP }
{{- end }}

{{/* (dict "root" . "clients" (list of peers) "public" (list ports) "metrics" port "egress" (list of {peer keys, ports})) */}}
{{- define "lib.networkPolicies" -}}
{{- $root := .root }}
{{- $policy := $root.Values.networkPolicy }}
{{- if $policy.enabled }}
{{- if $policy.defaultDeny }}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  {{- include "lib.meta" (list $root "default-deny") | nindent 2 }}
spec:
  podSelector: {}
  policyTypes: [Ingress, Egress]
---
{{- end }}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  {{- include "lib.meta" (list $root) | nindent 2 }}
spec:
  podSelector:
    matchLabels:
      {{- include "lib.selector" $root | nindent 6 }}
  policyTypes: [Ingress, Egress]
  ingress:
    {{- with .clients }}
    - from:
        {{- range . }}
        {{- include "lib.peer" . | trim | nindent 8 }}
        {{- end }}
      ports:
        {{- include "lib.ports" $.public | trim | nindent 8 }}
    {{- end }}
    - from:
        - namespaceSelector:
            matchLabels:
              kubernetes.io/metadata.name: {{ $policy.prometheusNamespace }}
        - podSelector:
            matchLabels:
              app.kubernetes.io/instance: {{ $root.Release.Name }}
              app.kubernetes.io/component: test
      ports:
        {{- include "lib.ports" (list .metrics) | trim | nindent 8 }}
  egress:
    {{- include "lib.dnsEgress" . | nindent 4 }}
    {{- range concat .egress $policy.egress }}
    - to:
        {{- include "lib.peer" . | trim | nindent 8 }}
      ports:
        {{- include "lib.ports" .ports | trim | nindent 8 }}
    {{- end }}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  {{- include "lib.meta" (list $root "test") | nindent 2 }}
spec:
  podSelector:
    matchLabels:
      app.kubernetes.io/instance: {{ $root.Release.Name }}
      app.kubernetes.io/component: test
  policyTypes: [Ingress, Egress]
  egress:
    {{- include "lib.dnsEgress" . | nindent 4 }}
    - to:
        - podSelector:
            matchLabels:
              {{- include "lib.selector" $root | nindent 14 }}
      ports:
        {{- include "lib.ports" (list .metrics) | trim | nindent 8 }}
{{- end }}
{{- end }}
