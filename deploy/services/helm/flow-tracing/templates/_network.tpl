{{/* podSelector of some components; takes root and components. */}}
{{- define "weir.podsOf" -}}
podSelector:
  matchLabels:
    app.kubernetes.io/name: {{ include "weir.name" .root }}
    app.kubernetes.io/instance: {{ .root.Release.Name }}
  matchExpressions:
    - {key: app.kubernetes.io/component, operator: In, values: {{ toJson .components }}}
{{- end -}}

{{/* A policy that lets components out; takes root, name, components, to and ports. */}}
{{- define "weir.egress" }}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  {{- include "weir.metadata" (dict "root" .root "component" "roles" "name" .name) | nindent 2 }}
spec:
  {{- include "weir.podsOf" . | nindent 2 }}
  policyTypes: [Egress]
  egress:
    - ports:
        {{- range uniq .ports }}
        - {port: {{ . }}}
        {{- end }}
      {{- with .to }}
      to:
        {{- toYaml . | nindent 8 }}
      {{- end }}
{{- end -}}
