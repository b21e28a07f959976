{{/* The name of everything in this release. */}}
{{- define "gateway.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "gateway.selector" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "gateway.labels" -}}
{{ include "gateway.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "gateway.image" -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end -}}

{{- define "gateway.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{ default (include "gateway.fullname" .) .Values.serviceAccount.name }}
{{- else -}}
{{ default "default" .Values.serviceAccount.name }}
{{- end -}}
{{- end -}}

{{- define "gateway.configMap" -}}
{{ default (include "gateway.fullname" .) .Values.existingConfigMap }}
{{- end -}}

{{/*
The configuration's text. The revision is the release's unless it is set, so that all processes agree which configuration
is the newer one.
*/}}
{{- define "gateway.config" -}}
{{- if kindIs "string" .Values.config -}}
{{- if not (regexMatch "(?m)^revision:" .Values.config) -}}
revision: {{ .Release.Revision }}
{{ end -}}
{{ .Values.config }}
{{- else -}}
{{- toYaml (merge (dict) .Values.config (dict "revision" .Release.Revision)) -}}
{{- end -}}
{{- end -}}

{{/* The sections of the configuration that are read once, at the start. */}}
{{- define "gateway.restartOf" -}}
{{- $config := .Values.config -}}
{{- if kindIs "string" $config -}}{{- $config = fromYaml $config -}}{{- end -}}
{{- toJson (pick $config "journal" "receiver" "admin") -}}
{{- end -}}

{{/* The Secret, or nothing when there is none. */}}
{{- define "gateway.secret" -}}
{{- if .Values.secrets.existing -}}
{{ .Values.secrets.existing }}
{{- else if .Values.secrets.values -}}
{{ include "gateway.fullname" . }}
{{- end -}}
{{- end -}}

{{- define "gateway.containerSecurity" -}}
allowPrivilegeEscalation: false
capabilities:
  drop: [ALL]
privileged: false
readOnlyRootFilesystem: true
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{/* Roles are of no use on a file: nothing, or a failure that says so. */}}
{{- define "gateway.onPostgres" -}}
{{- $config := .Values.config -}}
{{- if kindIs "string" $config -}}{{- $config = fromYaml $config -}}{{- end -}}
{{- if and (not .Values.existingConfigMap) (hasPrefix "sqlite:" (dig "journal" "url" "" $config)) -}}
{{- fail "roles.enabled: receivers and dispatchers share a journal on PostgreSQL: set config.journal.url" -}}
{{- end -}}
{{- end -}}
