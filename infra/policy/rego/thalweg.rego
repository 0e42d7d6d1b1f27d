# The rules of ../admission once more, for OPA, Gatekeeper or Conftest. `input` is one object; a workload is judged by its pods.
package thalweg

import rego.v1

template := input if input.kind == "Pod"

template := input.spec.template if input.kind in {"Deployment", "StatefulSet", "DaemonSet", "Job"}

template := input.spec.jobTemplate.spec.template if input.kind == "CronJob"

shared := object.get(template.spec, "securityContext", {})

containers := array.concat(template.spec.containers, object.get(template.spec, "initContainers", []))

deny contains "no-root" if {
	some container in containers
	not unprivileged(container, object.union(shared, object.get(container, "securityContext", {})))
}

deny contains "limits" if {
	some container in containers
	some part in ["requests", "limits"]
	some name in ["cpu", "memory"]
	object.get(container, ["resources", part, name], "") == ""
}

deny contains "fixed-image" if {
	some container in containers
	not contains(container.image, "@sha256:")
	not tagged(container.image)
}

deny contains "no-wildcard-rights" if {
	input.kind in {"Role", "ClusterRole"}
	some rule in input.rules
	some part in ["apiGroups", "resources", "verbs"]
	"*" in object.get(rule, part, [])
}

deny contains "admin-port-inside" if {
	input.kind == "Service"
	not object.get(input.spec, "type", "ClusterIP") in {"ClusterIP", "ExternalName"}
	some port in input.spec.ports
	some seen in [port.port, object.get(port, "targetPort", 0)]
	seen in {9900, "admin"}
}

unprivileged(container, both) if {
	both.runAsNonRoot == true
	both.runAsUser > 0
	both.seccompProfile.type == "RuntimeDefault"
	container.securityContext.allowPrivilegeEscalation == false
	not object.get(container.securityContext, "privileged", false)
	container.securityContext.capabilities.drop == ["ALL"]
	container.securityContext.readOnlyRootFilesystem == true
}

tagged(image) if {
	regex.match(`^.+:[^/:]+$`, image)
	not endswith(image, ":latest")
}
