{{/* Settings of every role, as a YAML map from variable to value. */}}
{{- define "weir.kafkaEnv" -}}
{{- with .Values.kafka -}}
WEIR_LOG: {{ $.Values.logFilter | quote }}
WEIR_LOG_FORMAT: json
WEIR_KAFKA: {{ join "," .brokers | quote }}
WEIR_KAFKA_SECURITY: {{ .security }}
{{- if hasPrefix "sasl" .security }}
WEIR_KAFKA_SASL_MECHANISM: {{ .sasl.mechanism }}
WEIR_KAFKA_USER: {{ .sasl.user | quote }}
WEIR_KAFKA_PASSWORD_FILE: {{ printf "/etc/weir/kafka/%s" .sasl.passwordSecret.key | quote }}
{{- end }}
{{- if .caSecret.name }}
WEIR_KAFKA_CA: {{ printf "/etc/weir/kafka-ca/%s" .caSecret.key | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "weir.topicEnv" -}}
{{- if .Values.kafka.topicPrefix }}
WEIR_TOPIC_PREFIX: {{ .Values.kafka.topicPrefix | quote }}
{{- end }}
{{- end -}}

{{- define "weir.clickhouseEnv" -}}
{{- with .Values.clickhouse -}}
WEIR_CLICKHOUSE: {{ .url | quote }}
WEIR_CLICKHOUSE_USER: {{ .user | quote }}
WEIR_CLICKHOUSE_DATABASE: {{ .database | quote }}
{{- if .passwordSecret.name }}
WEIR_CLICKHOUSE_PASSWORD_FILE: {{ printf "/etc/weir/clickhouse/%s" .passwordSecret.key | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{/* What the restricted pod security standard asks for, and more. */}}
{{- define "weir.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "weir.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{/* A Secret as a folder of files; takes name and secret. */}}
{{- define "weir.secretVolume" -}}
- name: {{ .name }}
  secret: {secretName: {{ .secret | quote }}, defaultMode: 0440}
{{- end -}}

{{/*
The pod of a role. Takes root, component, values (those of the role), args, env (a map), and optionally
  ports       name → number, beside the admin port
  admin       number of the port of /health, /ready and /metrics, 0: the pod is a Job's
  adminName   its name, "metrics" by default
  clickhouse  whether it needs ClickHouse
  secrets     folder below /etc/weir → name of a Secret
  instance    whether the pod's name is its name in the consumer group
  drain       seconds between the end of its endpoints and its own
  grace       seconds until it is killed
*/}}
{{- define "weir.pod" -}}
{{- $root := .root -}}
{{- $kafka := $root.Values.kafka -}}
{{- $env := merge (dict) .env (include "weir.kafkaEnv" $root | fromYaml) -}}
{{- $secrets := deepCopy (.secrets | default dict) -}}
{{- if hasPrefix "sasl" $kafka.security }}{{ $_ := set $secrets "kafka" $kafka.sasl.passwordSecret.name }}{{ end -}}
{{- if $kafka.caSecret.name }}{{ $_ := set $secrets "kafka-ca" $kafka.caSecret.name }}{{ end -}}
{{- if .clickhouse -}}
  {{- $env = merge $env (include "weir.clickhouseEnv" $root | fromYaml) -}}
  {{- with $root.Values.clickhouse.passwordSecret.name }}{{ $_ := set $secrets "clickhouse" . }}{{ end -}}
{{- end -}}
{{- range $name, $value := .values.env }}{{ $_ := set $env $name $value }}{{ end -}}
metadata:
  labels:
    {{- include "weir.labels" . | nindent 4 }}
  {{- with $root.Values.podAnnotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  serviceAccountName: {{ include "weir.fullname" $root }}
  automountServiceAccountToken: false
  # The variables of service links would be taken for flags of Weir.
  enableServiceLinks: false
  {{- with include "weir.priorityClass" $root }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with $root.Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  securityContext:
    {{- include "weir.podSecurity" . | nindent 4 }}
  {{- if .grace }}
  terminationGracePeriodSeconds: {{ .grace }}
  {{- end }}
  {{- if .admin }}
  topologySpreadConstraints:
    {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
    - maxSkew: 1
      topologyKey: {{ . }}
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "weir.selector" $ | nindent 10 }}
    {{- end }}
  {{- else }}
  restartPolicy: {{ .restartPolicy | default "OnFailure" }}
  {{- end }}
  containers:
    - name: {{ .component }}
      image: {{ include "weir.image" (dict "root" $root "image" $root.Values.image) }}
      imagePullPolicy: {{ $root.Values.image.pullPolicy }}
      args: {{ toJson .args }}
      env:
        {{- range $name, $value := $env }}
        - {name: {{ $name }}, value: {{ $value | toString | quote }}}
        {{- end }}
        {{- if .instance }}
        - name: WEIR_GROUP_INSTANCE_ID
          valueFrom: {fieldRef: {fieldPath: metadata.name}}
        {{- end }}
      {{- if .admin }}
      {{- $admin := .adminName | default "metrics" }}
      ports:
        {{- range $name, $port := .ports }}
        - {name: {{ $name }}, containerPort: {{ $port }}}
        {{- end }}
        - {name: {{ $admin }}, containerPort: {{ .admin }}}
      # Both answer from the start on; how long a shard takes to be rebuilt is a matter of readiness.
      livenessProbe:
        httpGet: {path: /health, port: {{ $admin }}}
        initialDelaySeconds: 5
        periodSeconds: 10
        failureThreshold: 6
      readinessProbe:
        httpGet: {path: /ready, port: {{ $admin }}}
        periodSeconds: 5
        failureThreshold: 2
      {{- end }}
      {{- if .drain }}
      lifecycle:
        preStop: {sleep: {seconds: {{ .drain }}}}
      {{- end }}
      resources:
        {{- toYaml .values.resources | nindent 8 }}
      securityContext:
        {{- include "weir.containerSecurity" . | nindent 8 }}
      {{- if $secrets }}
      volumeMounts:
        {{- range $folder, $_ := $secrets }}
        - {name: {{ $folder }}, mountPath: /etc/weir/{{ $folder }}, readOnly: true}
        {{- end }}
      {{- end }}
  {{- if $secrets }}
  volumes:
    {{- range $folder, $name := $secrets }}
    {{- include "weir.secretVolume" (dict "name" $folder "secret" $name) | nindent 4 }}
    {{- end }}
  {{- end }}
  {{- with .values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}
