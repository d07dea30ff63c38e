"""Fields of the Kubernetes API, v1.7's and later ones, that manifests may have and the lab itself does not read: they go to the apiserver."""

from __future__ import annotations

OBJECT = ("status",)

METADATA = (
    *("annotations", "clusterName", "creationTimestamp", "deletionGracePeriodSeconds", "deletionTimestamp", "finalizers"),
    *("generateName", "generation", "initializers", "managedFields", "ownerReferences", "resourceVersion", "selfLink", "uid"),
)

POD_SPEC = (
    *("activeDeadlineSeconds", "affinity", "automountServiceAccountToken", "dnsConfig", "dnsPolicy", "enableServiceLinks"),
    *("ephemeralContainers", "hostAliases", "hostIPC", "hostPID", "hostUsers", "hostname", "imagePullSecrets", "restartPolicy"),
    *("nodeSelector", "os", "overhead", "preemptionPolicy", "priority", "priorityClassName", "readinessGates", "resourceClaims"),
    *("resources", "runtimeClassName", "schedulerName", "schedulingGates", "securityContext", "serviceAccount"),
    *("serviceAccountName", "setHostnameAsFQDN", "shareProcessNamespace", "subdomain", "terminationGracePeriodSeconds"),
    *("tolerations", "topologySpreadConstraints", "volumes"),
)

CONTAINER = (
    *("envFrom", "imagePullPolicy", "lifecycle", "livenessProbe", "readinessProbe", "resizePolicy", "resources", "restartPolicy"),
    *("securityContext", "startupProbe", "stdin", "stdinOnce", "terminationMessagePath", "terminationMessagePolicy", "tty"),
    *("volumeDevices", "volumeMounts", "workingDir"),
)

CONTAINER_PORT = ("hostIP", "hostPort")

DEPLOYMENT_SPEC = ("minReadySeconds", "paused", "progressDeadlineSeconds", "revisionHistoryLimit", "rollbackTo", "strategy")

SERVICE_SPEC = (
    *("allocateLoadBalancerNodePorts", "clusterIPs", "deprecatedPublicIPs", "externalName"),
    *("internalTrafficPolicy", "ipFamilies", "ipFamily", "ipFamilyPolicy", "loadBalancerClass", "publishNotReadyAddresses"),
    *("topologyKeys", "trafficDistribution"),
)

SERVICE_PORT = ("appProtocol",)
