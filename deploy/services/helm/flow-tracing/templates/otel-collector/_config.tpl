{{/* The collector's configuration. ${env:…} is filled in by the collector itself. */}}
{{- define "weir.collectorConfig" -}}
{{- $collector := .Values.collector -}}
{{- $kafka := .Values.kafka -}}
{{- $listen := .Values.listenAddress -}}
extensions:
  health_check: {endpoint: "{{ $listen }}:13133"}
receivers:
  otlp:
    protocols:
      grpc: {endpoint: "{{ $listen }}:4317"}
      http: {endpoint: "{{ $listen }}:4318"}
  {{- if $collector.receivers.jaeger }}
  jaeger:
    protocols:
      grpc: {endpoint: "{{ $listen }}:14250"}
      thrift_http: {endpoint: "{{ $listen }}:14268"}
  {{- end }}
  {{- if $collector.receivers.zipkin }}
  zipkin: {endpoint: "{{ $listen }}:9411"}
  {{- end }}
processors:
  # Of the container's limit. Beyond it senders are told to try again.
  memory_limiter: {check_interval: 1s, limit_percentage: 80, spike_limit_percentage: 20}
  k8sattributes:
    # Senders are on this node: the service hands them over to no other one.
    filter: {node_from_env_var: KUBE_NODE_NAME}
    # A span without its namespace would belong to another service.
    wait_for_metadata: true
    wait_for_metadata_timeout: 30s
    extract:
      # From the name of the ReplicaSet, so that pods are all it has to read.
      deployment_name_from_replicaset: true
      metadata:
        - k8s.namespace.name
        - k8s.pod.name
        - k8s.pod.uid
        - k8s.node.name
        - k8s.deployment.name
        - k8s.statefulset.name
        - k8s.daemonset.name
        - service.name
        - service.version
      {{- with $collector.podLabels }}
      labels:
        {{- range $attribute, $label := . }}
        - {tag_name: {{ $attribute | quote }}, key: {{ $label | quote }}, from: pod}
        {{- end }}
      {{- end }}
    pod_association:
      - sources: [{from: resource_attribute, name: k8s.pod.uid}]
      - sources: [{from: connection}]
  resource:
    attributes:
      # What a service says of itself stays.
      - {key: deployment.environment.name, value: {{ $collector.environment | quote }}, action: insert}
      {{- with $collector.clusterName }}
      - {key: k8s.cluster.name, value: {{ . | quote }}, action: insert}
      {{- end }}
exporters:
  kafka:
    brokers: {{ toJson $kafka.brokers }}
    client_id: weir-collector
    traces: {topic: {{ printf "%sotlp_spans" $kafka.topicPrefix | quote }}, encoding: otlp_proto}
    # Without this line the spans of a trace scatter over the partitions and can't be joined.
    partition_traces_by_id: true
    producer:
      # The default, 1, loses spans when a broker dies.
      required_acks: -1
      compression: zstd
      # A topic that the broker makes by itself has the wrong settings.
      allow_auto_topic_creation: false
    # It never gives up; what it can't send any more fills the queue, and then senders are told so.
    retry_on_failure: {max_elapsed_time: 0}
    sending_queue:
      sizer: items
      queue_size: {{ $collector.queueSpans }}
      batch:
        sizer: items
        flush_timeout: {{ $collector.batch.timeout }}
        min_size: {{ $collector.batch.spans }}
        max_size: {{ $collector.batch.maxSpans }}
    {{- if has $kafka.security (list "ssl" "sasl_ssl") }}
    {{- if $kafka.caSecret.name }}
    tls: {ca_file: {{ printf "/etc/weir/kafka-ca/%s" $kafka.caSecret.key | quote }}}
    {{- else }}
    tls: {insecure: false}
    {{- end }}
    {{- end }}
    {{- if hasPrefix "sasl" $kafka.security }}
    auth:
      sasl:
        mechanism: {{ upper $kafka.sasl.mechanism }}
        username: {{ $kafka.sasl.user | quote }}
        password: ${env:KAFKA_PASSWORD}
    {{- end }}
service:
  extensions: [health_check]
  telemetry:
    metrics:
      readers:
        - pull: {exporter: {prometheus: {host: {{ $listen | quote }}, port: 8888}}}
  pipelines:
    traces:
      receivers:
        - otlp
        {{- if $collector.receivers.jaeger }}
        - jaeger
        {{- end }}
        {{- if $collector.receivers.zipkin }}
        - zipkin
        {{- end }}
      # Where a span comes from is known by its connection: nothing that batches may come before.
      processors: [memory_limiter, k8sattributes, resource]
      exporters: [kafka]
{{- end -}}

{{/* The same with what the user adds, as text. */}}
{{- define "weir.collectorText" -}}
{{- $config := include "weir.collectorConfig" . -}}
{{- if .Values.collector.extraConfig -}}
{{- mergeOverwrite ($config | fromYaml) .Values.collector.extraConfig | toYaml -}}
{{- else -}}
{{- $config -}}
{{- end -}}
{{- end -}}
