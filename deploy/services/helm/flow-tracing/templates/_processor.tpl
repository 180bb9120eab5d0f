{{/* The processor's variables, but for those of one use. */}}
{{- define "weir.processorEnv" -}}
{{- with .Values.processor -}}
WEIR_SLOW_MS: {{ .slowMs }}
WEIR_DEFAULT_ENVIRONMENT: {{ .defaultEnvironment | quote }}
{{- if .userHashKeySecret.name }}
WEIR_USER_HASH_KEY_FILE: {{ printf "/etc/weir/user-hash/%s" .userHashKeySecret.key | quote }}
{{- end }}
{{- if $.Values.kafka.topicPrefix }}
WEIR_GROUP: {{ printf "%sweir-processor" $.Values.kafka.topicPrefix | quote }}
{{- end }}
{{- end }}
{{- include "weir.topicEnv" . }}
{{- end -}}

{{- define "weir.processorSecrets" -}}
{{- with .Values.processor.userHashKeySecret.name }}
user-hash: {{ . | quote }}
{{- end }}
{{- end -}}
