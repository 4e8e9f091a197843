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

{{- define "intops.certificateSecret" -}}
{{- if eq .Values.admission.certificateMode "secret" -}}
{{- required "admission.certificateMode is secret and admission.certificateSecret is empty: the operator would have no certificate to show, and no manifest of intops could be applied. Write the name of your Secret with tls.crt and tls.key there." .Values.admission.certificateSecret -}}
{{- else if eq .Values.admission.certificateMode "certManager" -}}
{{- .Values.admission.certificateSecret | default (printf "%s-admission-cert" (include "intops.name" .)) -}}
{{- else -}}
{{- .Values.admission.certificateSecret | default "intops-admission-tls" -}}
{{- end -}}
{{- end -}}

{{- define "intops.webhooks" -}}
{{ include "intops.name" . }}-{{ .Release.Namespace }}
{{- end -}}

{{- define "intops.issuer" -}}
{{- if .Values.admission.certManager.issuer.name -}}
{{- $issuer := .Values.admission.certManager.issuer -}}
{{ toJson (dict "name" $issuer.name "kind" $issuer.kind "group" $issuer.group) }}
{{- else -}}
{{- if or (ne .Values.admission.certManager.issuer.kind "Issuer") (ne .Values.admission.certManager.issuer.group "cert-manager.io") -}}
  {{- fail (printf "admission.certManager.issuer.kind is %s of %s and its name is empty, so nobody knows which one to ask. Write its name, or take kind and group away to have an authority for this certificate alone." .Values.admission.certManager.issuer.kind .Values.admission.certManager.issuer.group) -}}
{{- end -}}
{{ toJson (dict "name" (printf "%s-admission-ca" (include "intops.name" .)) "kind" "Issuer" "group" "cert-manager.io") }}
{{- end -}}
{{- end -}}

{{- /* What the API server trusts, as base64; empty where the leader or cert-manager writes it. */}}
{{- define "intops.caBundle" -}}
{{- $mode := .Values.admission.certificateMode -}}
{{- $given := .Values.admission.caBundle -}}
{{- if ne $mode "secret" -}}
  {{- if $given -}}
    {{- fail (printf "admission.caBundle is set, and in admission.certificateMode %s it would be overwritten by what makes the certificate. Take it away, or write admission.certificateMode: secret and bring a certificate of your own." $mode) -}}
  {{- end -}}
{{- else if $given -}}
  {{- if not (contains "-----BEGIN CERTIFICATE-----" $given) -}}
    {{- fail "admission.caBundle is no PEM text, so the API server would trust nobody. Write the certificates of your authority as they are, from -----BEGIN CERTIFICATE----- on, and not as base64: --set-file admission.caBundle=ca.crt does." -}}
  {{- end -}}
  {{- $given | b64enc -}}
{{- else -}}
  {{- $secret := include "intops.certificateSecret" . -}}
  {{- $found := lookup "v1" "Secret" .Release.Namespace $secret -}}
  {{- $ca := dig "data" "ca.crt" "" $found -}}
  {{- if not $ca -}}
    {{- fail (printf "admission.caBundle is empty, and no Secret %s with a key ca.crt can be seen in namespace %s, so the API server would not trust the certificate. Make the Secret first, or write the certificates of its authority there: --set-file admission.caBundle=ca.crt. Where manifests are rendered without a cluster, as by Argo CD, only the value works." $secret .Release.Namespace) -}}
  {{- end -}}
  {{- $ca -}}
{{- end -}}
{{- end -}}

{{- define "intops.image" -}}
{{ .image.repository }}:{{ .image.tag | default .version }}
{{- end -}}
