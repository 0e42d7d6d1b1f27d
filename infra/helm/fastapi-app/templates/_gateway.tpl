{{/* What each cloud's class needs beside Gateway and HTTPRoute: who is let in, TLS policy, health check. */}}

{{- define "app.gateway.local" -}}{{- end }}

{{- define "app.gateway.aws" -}}
apiVersion: gateway.k8s.aws/v1beta1
kind: LoadBalancerConfiguration
metadata:
  {{- include "lib.meta" (list .) | nindent 2 }}
spec:
  scheme: internet-facing
  # The security group of the balancer: these, and nobody else.
  sourceRanges:
    {{- toYaml .Values.expose.allow | nindent 4 }}
  listenerConfigurations:
    # The certificate is found in ACM by host.
    - protocolPort: HTTPS:443
      sslPolicy: {{ .Values.gateway.tlsPolicy }}
      {{- with .Values.gateway.clientCa }}
      mutualAuthentication: { mode: verify, trustStore: {{ . | quote }} }
      {{- end }}
  loadBalancerAttributes:
    - { key: deletion_protection.enabled, value: {{ .Values.gateway.protect | quote }} }
    - { key: routing.http.drop_invalid_header_fields.enabled, value: "true" }
---
apiVersion: gateway.k8s.aws/v1beta1
kind: TargetGroupConfiguration
metadata:
  {{- include "lib.meta" (list .) | nindent 2 }}
spec:
  targetReference: { kind: Service, name: {{ .Release.Name }} }
  defaultConfiguration:
    targetType: instance
    healthCheckConfig:
      healthCheckPath: /ready
      healthCheckInterval: 10
      healthCheckTimeout: 2
      healthyThresholdCount: 2
      unhealthyThresholdCount: 2
      matcher: { httpCode: "200" }
{{- end }}

{{- define "app.gateway.gcp" -}}
{{- $service := printf "{ group: \"\", kind: Service, name: %s }" .Release.Name -}}
apiVersion: networking.gke.io/v1
kind: GCPGatewayPolicy
metadata:
  {{- include "lib.meta" (list .) | nindent 2 }}
spec:
  default:
    sslPolicy: {{ .Values.gateway.tlsPolicy }}
  targetRef: { group: gateway.networking.k8s.io, kind: Gateway, name: {{ .Release.Name }} }
---
apiVersion: networking.gke.io/v1
kind: GCPBackendPolicy
metadata:
  {{- include "lib.meta" (list .) | nindent 2 }}
spec:
  default:
    securityPolicy: {{ .Values.gateway.allowPolicy }}
    connectionDraining: { drainingTimeoutSec: {{ .Values.shutdown.timeoutSeconds }} }
  targetRef: {{ $service }}
---
apiVersion: networking.gke.io/v1
kind: HealthCheckPolicy
metadata:
  {{- include "lib.meta" (list .) | nindent 2 }}
spec:
  default:
    checkIntervalSec: 5
    timeoutSec: 2
    healthyThreshold: 1
    unhealthyThreshold: 2
    config:
      type: HTTP
      httpHealthCheck: { portSpecification: USE_SERVING_PORT, requestPath: /ready }
  targetRef: {{ $service }}
{{- end }}

{{- define "app.gateway.azure" -}}
# The gateway's own pods. The list of who may come is kept in front of them, in the network security group.
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {{ .Release.Name }}-gateway
  namespace: {{ include "app.gatewayNamespace" . }}
  labels:
    {{- include "lib.labels" . | nindent 4 }}
spec:
  podSelector:
    matchLabels:
      gateway.networking.k8s.io/gateway-name: {{ .Release.Name }}
  policyTypes: [Ingress, Egress]
  ingress:
    # 15021: the balancer's question whether it is ready
    - ports:
        {{- include "lib.ports" (list 443 15021) | trim | nindent 8 }}
    - from:
        - namespaceSelector:
            matchLabels:
              kubernetes.io/metadata.name: {{ .Values.networkPolicy.prometheusNamespace }}
      ports:
        {{- include "lib.ports" (list 15020) | trim | nindent 8 }}
  egress:
    {{- include "lib.dnsEgress" . | nindent 4 }}
    # Its configuration and certificates come from the add-on's control plane.
    - to:
        - namespaceSelector:
            matchLabels:
              kubernetes.io/metadata.name: aks-istio-system
      ports:
        {{- include "lib.ports" (list 15012) | trim | nindent 8 }}
    - to:
        - namespaceSelector:
            matchLabels:
              kubernetes.io/metadata.name: {{ .Release.Namespace }}
          podSelector:
            matchLabels:
              {{- include "lib.selector" . | nindent 14 }}
      ports:
        {{- include "lib.ports" (list 8000) | trim | nindent 8 }}
{{- end }}
