{{/*
A pod's template, of a role: `all` (on SQLite, with the volume), `receiver`, `dispatcher`, or `migrate`, a Job's.
*/}}
{{- define "gateway.pod" -}}
metadata:
  labels:
    {{- if eq .role "migrate" }}
    app.kubernetes.io/name: {{ .root.Chart.Name }}-migrate
    app.kubernetes.io/instance: {{ .root.Release.Name }}
    {{- else }}
    {{- include "gateway.labels" .root | nindent 4 }}
    {{- end }}
    {{- if has .role (list "receiver" "dispatcher") }}
    app.kubernetes.io/component: {{ .role }}
    {{- end }}
    {{- with .root.Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    # What changes here starts the pod anew, after what is in flight is settled: the sections that do not change in a
    # running gateway, and environment variables. All else is taken up while it runs.
    checksum/config: {{ include "gateway.restartOf" .root | sha256sum | trunc 16 }}
    checksum/secrets: {{ toJson .root.Values.secrets.values | sha256sum | trunc 16 }}
    {{- with .root.Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  {{- if eq .role "migrate" }}
  restartPolicy: Never
  {{- end }}
  serviceAccountName: {{ include "gateway.serviceAccount" .root }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ .root.Values.terminationGracePeriodSeconds }}
  {{- with .root.Values.imagePullSecrets }}
  imagePullSecrets: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .root.Values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  securityContext:
    fsGroup: 65532
    fsGroupChangePolicy: OnRootMismatch
    runAsNonRoot: true
    seccompProfile:
      type: RuntimeDefault
  containers:
    - name: gateway
      image: {{ include "gateway.image" .root | quote }}
      imagePullPolicy: {{ .root.Values.image.pullPolicy }}
      {{- if eq .role "migrate" }}
      args: [migrate]
      {{- else if eq .role "all" }}
      args: [serve]
      {{- else }}
      args: [serve, --role, {{ .role }}]
      {{- end }}
      {{- if include "gateway.secret" .root }}
      envFrom:
        - secretRef:
            name: {{ include "gateway.secret" .root }}
      {{- end }}
      {{- with .root.Values.env }}
      env: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- if ne .role "migrate" }}
      ports:
        - name: receiver
          containerPort: 8080
        - name: admin
          containerPort: 8081
      # A long migration of the journal is no reason to be killed.
      startupProbe:
        httpGet: {path: /healthz, port: admin}
        periodSeconds: 2
        failureThreshold: 150
      livenessProbe:
        httpGet: {path: /healthz, port: admin}
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 6
      # A dispatcher that cannot deliver must not stop the receiver from taking webhooks.
      readinessProbe:
        httpGet: {path: "/readyz?role={{ eq .role "dispatcher" | ternary "dispatcher" "receiver" }}", port: admin}
        periodSeconds: 5
        timeoutSeconds: 5
      {{- end }}
      resources: {{- toYaml .root.Values.resources | nindent 8 }}
      securityContext: {{- include "gateway.containerSecurity" .root | nindent 8 }}
      volumeMounts:
        {{- if eq .role "all" }}
        - {name: data, mountPath: /data}
        {{- end }}
        - {name: config, mountPath: /etc/gateway, readOnly: true}
        - {name: tmp, mountPath: /tmp}
        - {name: metrics, mountPath: /dev/shm}
        {{- if include "gateway.secret" .root }}
        - {name: secrets, mountPath: /run/secrets/gateway, readOnly: true}
        {{- end }}
  volumes:
    - name: config
      configMap:
        name: {{ include "gateway.configMap" .root }}
    - name: tmp
      emptyDir: {sizeLimit: 256Mi}
    - name: metrics
      emptyDir: {medium: Memory, sizeLimit: 64Mi}
    {{- if include "gateway.secret" .root }}
    - name: secrets
      secret:
        secretName: {{ include "gateway.secret" .root }}
        defaultMode: 0440
    {{- end }}
  {{- with .root.Values.nodeSelector }}
  nodeSelector: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .root.Values.tolerations }}
  tolerations: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .root.Values.affinity }}
  affinity: {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}
