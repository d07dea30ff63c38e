"""The fields of the kinds: what OpenAPI, `kubectl explain` and the refusal of unknown fields are made from, also in manifests. Pure data.

A type is `s` string, `i` integer, `b` boolean, `m` map of strings, `is` integer or string, `o` anything, or a name below; `[]` before it is a list.
"""

from __future__ import annotations

from functools import cache

_TEXT: dict[str, str] = {
    "ObjectMeta": """name:s generateName:s namespace:s selfLink:s uid:s resourceVersion:s generation:i creationTimestamp:s deletionTimestamp:s
        deletionGracePeriodSeconds:i labels:m annotations:m ownerReferences:[]OwnerReference finalizers:[]s managedFields:[]o clusterName:s""",
    "OwnerReference": "apiVersion:s kind:s name:s uid:s controller:b blockOwnerDeletion:b",
    "LabelSelector": "matchLabels:m matchExpressions:[]LabelSelectorRequirement",
    "LabelSelectorRequirement": "key:s operator:s values:[]s",
    "Condition": """type:s status:s reason:s message:s lastTransitionTime:s lastUpdateTime:s lastHeartbeatTime:s lastProbeTime:s
        observedGeneration:i""",
    "Namespace": "spec:NamespaceSpec status:NamespaceStatus",
    "NamespaceSpec": "finalizers:[]s",
    "NamespaceStatus": "phase:s conditions:[]Condition",
    "Node": "spec:NodeSpec status:NodeStatus",
    "NodeSpec": "podCIDR:s podCIDRs:[]s providerID:s externalID:s unschedulable:b taints:[]Taint configSource:o",
    "Taint": "key:s value:s effect:s timeAdded:s",
    "NodeStatus": """capacity:o allocatable:o phase:s conditions:[]Condition addresses:[]NodeAddress daemonEndpoints:o nodeInfo:o images:[]o
        volumesInUse:[]s volumesAttached:[]o config:o features:o runtimeHandlers:[]o""",
    "NodeAddress": "type:s address:s",
    "Pod": "spec:PodSpec status:PodStatus",
    "PodSpec": """volumes:[]Volume initContainers:[]Container containers:[]Container ephemeralContainers:[]o restartPolicy:s
        terminationGracePeriodSeconds:i activeDeadlineSeconds:i dnsPolicy:s nodeSelector:m serviceAccountName:s serviceAccount:s
        automountServiceAccountToken:b nodeName:s hostNetwork:b hostPID:b hostIPC:b hostUsers:b shareProcessNamespace:b securityContext:o
        imagePullSecrets:[]o hostname:s subdomain:s setHostnameAsFQDN:b affinity:o schedulerName:s tolerations:[]o hostAliases:[]o
        priorityClassName:s priority:i dnsConfig:o readinessGates:[]o runtimeClassName:s enableServiceLinks:b preemptionPolicy:s overhead:o
        topologySpreadConstraints:[]o os:o schedulingGates:[]o resourceClaims:[]o resources:o""",
    "Container": """name:s image:s command:[]s args:[]s workingDir:s ports:[]ContainerPort envFrom:[]EnvFromSource env:[]EnvVar
        resources:ResourceRequirements volumeMounts:[]VolumeMount volumeDevices:[]o livenessProbe:Probe readinessProbe:Probe startupProbe:Probe
        lifecycle:Lifecycle restartPolicy:s terminationMessagePath:s terminationMessagePolicy:s imagePullPolicy:s securityContext:o stdin:b
        stdinOnce:b tty:b resizePolicy:[]o""",
    "ContainerPort": "name:s hostPort:i containerPort:i protocol:s hostIP:s",
    "EnvVar": "name:s value:s valueFrom:EnvVarSource",
    "EnvVarSource": """fieldRef:ObjectFieldSelector resourceFieldRef:ResourceFieldSelector configMapKeyRef:KeySelector secretKeyRef:KeySelector
        fileKeyRef:o""",
    "ObjectFieldSelector": "apiVersion:s fieldPath:s",
    "ResourceFieldSelector": "containerName:s resource:s divisor:o",
    "KeySelector": "name:s key:s optional:b",
    "EnvFromSource": "prefix:s configMapRef:EnvSource secretRef:EnvSource",
    "EnvSource": "name:s optional:b",
    "Lifecycle": "postStart:LifecycleHandler preStop:LifecycleHandler stopSignal:s",
    "LifecycleHandler": "exec:ExecAction httpGet:HTTPGetAction tcpSocket:TCPSocketAction sleep:SleepAction",
    "SleepAction": "seconds:i",
    "Volume": """name:s emptyDir:EmptyDirVolumeSource hostPath:HostPathVolumeSource configMap:ConfigMapVolumeSource secret:SecretVolumeSource
        downwardAPI:DownwardAPIVolumeSource projected:ProjectedVolumeSource persistentVolumeClaim:o ephemeral:o image:o csi:o nfs:o iscsi:o
        gcePersistentDisk:o awsElasticBlockStore:o azureDisk:o azureFile:o cephfs:o cinder:o fc:o flexVolume:o flocker:o gitRepo:o glusterfs:o
        photonPersistentDisk:o portworxVolume:o quobyte:o rbd:o scaleIO:o storageos:o vsphereVolume:o""",
    "EmptyDirVolumeSource": "medium:s sizeLimit:o",
    "HostPathVolumeSource": "path:s type:s",
    "ConfigMapVolumeSource": "name:s items:[]KeyToPath defaultMode:i optional:b",
    "SecretVolumeSource": "secretName:s items:[]KeyToPath defaultMode:i optional:b",
    "KeyToPath": "key:s path:s mode:i",
    "DownwardAPIVolumeSource": "items:[]DownwardAPIVolumeFile defaultMode:i",
    "DownwardAPIVolumeFile": "path:s fieldRef:ObjectFieldSelector resourceFieldRef:ResourceFieldSelector mode:i",
    "ProjectedVolumeSource": "sources:[]o defaultMode:i",
    "VolumeMount": "name:s readOnly:b recursiveReadOnly:s mountPath:s subPath:s subPathExpr:s mountPropagation:s",
    "ResourceRequirements": "limits:o requests:o claims:[]o",
    "Probe": """exec:ExecAction httpGet:HTTPGetAction tcpSocket:TCPSocketAction grpc:o initialDelaySeconds:i timeoutSeconds:i periodSeconds:i
        successThreshold:i failureThreshold:i terminationGracePeriodSeconds:i""",
    "ExecAction": "command:[]s",
    "HTTPGetAction": "path:s port:is host:s scheme:s httpHeaders:[]o",
    "TCPSocketAction": "port:is host:s",
    "PodStatus": """phase:s conditions:[]Condition message:s reason:s nominatedNodeName:s hostIP:s hostIPs:[]o podIP:s podIPs:[]o startTime:s
        initContainerStatuses:[]o containerStatuses:[]o ephemeralContainerStatuses:[]o qosClass:s resize:s resourceClaimStatuses:[]o
        observedGeneration:i""",
    "PodTemplateSpec": "metadata:ObjectMeta spec:PodSpec",
    "Service": "spec:ServiceSpec status:ServiceStatus",
    "ServiceSpec": """ports:[]ServicePort selector:m clusterIP:s clusterIPs:[]s type:s externalIPs:[]s sessionAffinity:s loadBalancerIP:s
        loadBalancerSourceRanges:[]s externalName:s externalTrafficPolicy:s internalTrafficPolicy:s healthCheckNodePort:i
        publishNotReadyAddresses:b sessionAffinityConfig:SessionAffinityConfig ipFamilies:[]s ipFamilyPolicy:s allocateLoadBalancerNodePorts:b
        loadBalancerClass:s trafficDistribution:s""",
    "ServicePort": "name:s protocol:s appProtocol:s port:i targetPort:is nodePort:i",
    "SessionAffinityConfig": "clientIP:ClientIPConfig",
    "ClientIPConfig": "timeoutSeconds:i",
    "ServiceStatus": "loadBalancer:o conditions:[]Condition",
    "Endpoints": "subsets:[]EndpointSubset",
    "EndpointSubset": "addresses:[]EndpointAddress notReadyAddresses:[]EndpointAddress ports:[]EndpointPort",
    "EndpointAddress": "ip:s hostname:s nodeName:s targetRef:o",
    "EndpointPort": "name:s port:i protocol:s appProtocol:s",
    "EndpointSlice": "addressType:s endpoints:[]Endpoint ports:[]EndpointPort",
    "Endpoint": "addresses:[]s conditions:o hostname:s targetRef:o deprecatedTopology:m nodeName:s zone:s hints:o",
    "ConfigMap": "data:m binaryData:m immutable:b",
    "Secret": "data:m stringData:m type:s immutable:b",
    "Event": """involvedObject:o reason:s message:s source:o firstTimestamp:s lastTimestamp:s count:i type:s eventTime:s series:o action:s related:o
        reportingComponent:s reportingInstance:s regarding:o note:s reportingController:s deprecatedSource:o deprecatedFirstTimestamp:s
        deprecatedLastTimestamp:s deprecatedCount:i""",
    "ServiceAccount": "secrets:[]o imagePullSecrets:[]o automountServiceAccountToken:b",
    "Deployment": "spec:DeploymentSpec status:DeploymentStatus",
    "DeploymentSpec": """replicas:i selector:LabelSelector template:PodTemplateSpec strategy:DeploymentStrategy minReadySeconds:i
        revisionHistoryLimit:i paused:b progressDeadlineSeconds:i rollbackTo:o""",
    "DeploymentStrategy": "type:s rollingUpdate:RollingUpdateDeployment",
    "RollingUpdateDeployment": "maxUnavailable:is maxSurge:is",
    "DeploymentStatus": """observedGeneration:i replicas:i updatedReplicas:i readyReplicas:i availableReplicas:i unavailableReplicas:i
        conditions:[]Condition collisionCount:i terminatingReplicas:i""",
    "ReplicaSet": "spec:ReplicaSetSpec status:ReplicaSetStatus",
    "ReplicaSetSpec": "replicas:i minReadySeconds:i selector:LabelSelector template:PodTemplateSpec",
    "ReplicaSetStatus": """replicas:i fullyLabeledReplicas:i readyReplicas:i availableReplicas:i observedGeneration:i conditions:[]Condition
        terminatingReplicas:i""",
    "Lease": "spec:LeaseSpec",
    "LeaseSpec": "holderIdentity:s leaseDurationSeconds:i acquireTime:s renewTime:s leaseTransitions:i strategy:s preferredHolder:s",
}

TYPES = tuple(_TEXT)
"""The names of all object types."""


KINDS = frozenset(
    ["Namespace", "Node", "Pod", "Service", "Endpoints", "ConfigMap", "Secret", "Event", "ServiceAccount"]
    + ["Deployment", "ReplicaSet", "EndpointSlice", "Lease"]
)
"""Those that are objects of their own, with apiVersion, kind and metadata."""


@cache
def fields_of(name: str) -> dict[str, str]:
    """Field -> type of an object type; of a kind with apiVersion, kind and metadata."""
    own = dict(pair.split(":") for pair in _TEXT[name].split())
    return ({"apiVersion": "s", "kind": "s", "metadata": "ObjectMeta"} if name in KINDS else {}) | own
