{{/* What the schema can't say: values that can't work together. Each is one sentence that says what to do. */}}
{{- define "weir.validate" -}}
{{- with .Values -}}
{{- if and .kafka.topicPrefix .topics.create -}}
{{- fail "kafka.topicPrefix: `weir topics` knows no prefix; create the topics yourself and set topics.create=false" -}}
{{- end -}}
{{- if and (hasPrefix "sasl" .kafka.security) (not (and .kafka.sasl.user .kafka.sasl.passwordSecret.name)) -}}
{{- fail "kafka.security is SASL: set kafka.sasl.user and kafka.sasl.passwordSecret.name" -}}
{{- end -}}
{{- if not (or .queryApi.auth.secretName .queryApi.auth.anonymous) -}}
{{- fail "queryApi.auth: name the Secret that holds access.toml (secretName), or let everybody in (anonymous=true); see docs/access.md" -}}
{{- end -}}
{{- if and .queryApi.auth.secretName .queryApi.auth.anonymous -}}
{{- fail "queryApi.auth: secretName and anonymous contradict each other" -}}
{{- end -}}
{{- $most := ternary .processor.autoscaling.maxReplicas .processor.replicas .processor.autoscaling.enabled -}}
{{- if and .topics.create (gt (int $most) (int .topics.partitions)) -}}
{{- fail (printf "processor: %d replicas can't share %d partitions (topics.partitions)" (int $most) (int .topics.partitions)) -}}
{{- end -}}
{{- if and .ingress.enabled (not .ingress.host) -}}
{{- fail "ingress.host: which name do browsers use?" -}}
{{- end -}}
{{- if and .httpRoute.enabled (not (and .httpRoute.parentRefs .httpRoute.hostnames)) -}}
{{- fail "httpRoute: parentRefs and hostnames are needed" -}}
{{- end -}}
{{- if and .instrumentation.enabled (not .instrumentation.namespaces) -}}
{{- fail "instrumentation.namespaces: where are the services?" -}}
{{- end -}}
{{- end -}}
{{- end -}}
