{{- define "intops.name" -}}
{{- if contains "intops" .Release.Name -}}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{- else -}}{{ printf "%s-intops" .Release.Name | trunc 50 | trimSuffix "-" }}{{- end -}}
{{- end -}}

{{- define "intops.selector" -}}
app.kubernetes.io/name: intops-operator
app.kubernetes.io/component: {{ include "intops.name" . }}
{{- end -}}

{{- define "intops.labels" -}}
{{ include "intops.selector" . }}
app.kubernetes.io/part-of: intops
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "intops.image" -}}
{{ .image.repository }}:{{ .image.tag | default .version }}
{{- end -}}
