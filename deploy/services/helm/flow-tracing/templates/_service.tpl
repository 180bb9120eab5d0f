{{/* Names for the pods of a StatefulSet, ready or not: who watches them wants to see them then too. */}}
{{- define "weir.headless" -}}
apiVersion: v1
kind: Service
metadata:
  {{- include "weir.metadata" . | nindent 2 }}
spec:
  clusterIP: None
  publishNotReadyAddresses: true
  selector:
    {{- include "weir.selector" . | nindent 4 }}
  ports:
    - {name: metrics, port: {{ .port }}, targetPort: metrics}
{{- end -}}
