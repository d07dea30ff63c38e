"""A scenario on a Kubernetes cluster elsewhere: nothing is booted here, everything goes through that cluster's API.

    kubeconfig   from a file and a context to connections; the errors of both in words for people
    api          the API as scenarios use it, and commands in pods
    images       what the lab's image names stand for there. Pure
    manifests    the scenario's objects as that cluster can take them. Pure
    kubectl      which of the operator's commands are run, so that nothing but the run's own objects is changed. Pure
    hosts        pods, nodes and the operator as machines
    facade       the cluster as a step holds it
    start        from nothing to running pods, and back to nothing

Nothing here knows the lab's own apiserver: no annotation, table or address of it.
"""
