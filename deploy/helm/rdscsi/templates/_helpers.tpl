{{- define "rdscsi.driver" -}}csi.rdscsi.io{{- end }}

{{- define "rdscsi.clusterId" -}}
{{- if .Values.clusterId -}}
{{ .Values.clusterId }}
{{- else -}}
{{- $namespace := lookup "v1" "Namespace" "" "kube-system" -}}
{{- required "clusterId: say it where there is no cluster to read it from: the UID of the kube-system namespace" (($namespace).metadata).uid -}}
{{- end -}}
{{- end }}

{{- define "rdscsi.labels" -}}
app.kubernetes.io/name: rdscsi
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "rdscsi.selector" -}}
app.kubernetes.io/name: rdscsi
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "rdscsi.pluginDir" -}}{{ .Values.kubeletDir }}/plugins/{{ include "rdscsi.driver" . }}{{- end }}

{{/* The Lease without which a controller stands by, NAMESPACE/NAME; empty: it leads alone. */}}
{{- define "rdscsi.lease" -}}
{{- dig "lease" (printf "%s/%s-controller" .Release.Namespace .Release.Name) .Values.controller.settings -}}
{{- end }}

{{/* Settings as TOML: JSON's strings, numbers, booleans and lists are TOML's as well. */}}
{{- define "rdscsi.toml" -}}
{{- range $name, $value := . }}
{{ $name }} = {{ if kindIs "float64" $value }}{{ if eq (floor $value) $value }}{{ int64 $value }}{{ else }}{{ $value }}{{ end }}{{ else }}{{ toJson $value }}{{ end }}
{{- end }}
{{- end }}

{{- define "rdscsi.confined" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- define "rdscsi.sidecarImage" -}}
{{- $registry := required "sidecars.registry: say where the images of the CSI sidecars are: the registry and path at which the Kubernetes project publishes them, or a mirror of yours (docs/install.md)" .root.Values.sidecars.registry -}}
{{ printf "%s/%s:%s" $registry .sidecar.name .sidecar.tag }}
{{- end }}

{{/* What the CSI sidecars of the controller have in common. */}}
{{- define "rdscsi.sidecar" -}}
image: {{ include "rdscsi.sidecarImage" . }}
imagePullPolicy: {{ .root.Values.sidecars.pullPolicy }}
securityContext: {{- include "rdscsi.confined" . | nindent 2 }}
resources: {{- toYaml .root.Values.sidecars.resources | nindent 2 }}
volumeMounts:
  - {name: socket, mountPath: /csi}
{{- end }}
