{{/* Where browsers find the query API, as origins. */}}
{{- define "weir.origins" -}}
{{- $origins := .Values.queryApi.origins -}}
{{- if .Values.ingress.enabled -}}
{{- $origins = append $origins (printf "%s://%s" (ternary "https" "http" .Values.ingress.tls.enabled) .Values.ingress.host) -}}
{{- end -}}
{{- if .Values.httpRoute.enabled -}}
{{- range .Values.httpRoute.hostnames -}}
{{- $origins = append $origins (printf "%s://%s" $.Values.httpRoute.scheme .) -}}
{{- end -}}
{{- end -}}
{{- uniq $origins | join "," -}}
{{- end -}}

{{/* Metrics pages of the roles whose pods have names: their counts are part of /api/v1/status. */}}
{{- define "weir.rolePages" -}}
{{- $pages := list -}}
{{- if not .Values.processor.autoscaling.enabled -}}
{{- range $ordinal := until (int .Values.processor.replicas) -}}
{{- $pages = append $pages (printf "http://%s-processor-%d.%s:13134/metrics" (include "weir.fullname" $) $ordinal (include "weir.host" (dict "root" $ "component" "processor"))) -}}
{{- end -}}
{{- end -}}
{{- range $ordinal := until (int .Values.store.replicas) -}}
{{- $pages = append $pages (printf "http://%s-store-%d.%s:13135/metrics" (include "weir.fullname" $) $ordinal (include "weir.host" (dict "root" $ "component" "store"))) -}}
{{- end -}}
{{- join "," $pages -}}
{{- end -}}

{{/* The pod of a query API; takes root and component. */}}
{{- define "weir.queryApiPod" -}}
{{- $api := .root.Values.queryApi -}}
{{- $env := dict
  "WEIR_LISTEN" (printf "%s:8080" .root.Values.listenAddress)
  "WEIR_LIVE_MEMORY_MIB" $api.liveMemoryMiB
  "WEIR_ROLE" (include "weir.rolePages" .root) -}}
{{- with include "weir.origins" .root }}{{ $_ := set $env "WEIR_ORIGIN" . }}{{ end -}}
{{- $secrets := dict -}}
{{- if $api.auth.secretName -}}
{{- $_ := set $env "WEIR_AUTH" "/etc/weir/access/access.toml" -}}
{{- $_ := set $secrets "access" $api.auth.secretName -}}
{{- else -}}
{{- $_ := set $env "WEIR_NO_AUTH" true -}}
{{- end -}}
{{- $env = merge $env (include "weir.topicEnv" .root | fromYaml) -}}
{{- include "weir.pod" (merge (dict
  "values" $api "args" (list "query-api") "env" $env "admin" 8080 "adminName" "http"
  "secrets" $secrets "clickhouse" true "drain" 5 "grace" 30) .) -}}
{{- end -}}
