"""Running, and yet not there."""

from __future__ import annotations

from lab.challenge import Challenge, Text

challenge = Challenge(
    title=Text("Running, and yet not there", "在运行，却不在场"),
    level=2,
    story=Text(
        """A new release of ${app} has been rolled out. Its pods run, a person who asks them gets the page, but the service has forgotten
        them.""",
        """${app} 发布了新版本。Pod 在运行，直接访问也有页面，但 Service 把它们忘了。""",
    ),
    hints=[
        Text(
            "Running is not enough. `lab kubectl get pods` has a second column.",
            "光是 Running 还不够。`lab kubectl get pods` 还有第二列。",
        ),
        Text(
            "The kubelet says why it does not think a pod ready: `lab kubectl describe pod`, at the end.",
            "kubelet 会说明为什么认为 Pod 没有就绪：`lab kubectl describe pod`，看最后。",
        ),
        Text(
            "The probe asks for a page. Ask for the same one: what status does nginx give?",
            "探针会请求一个页面。你也请求同一个：nginx 返回什么状态码？",
        ),
    ],
)


@challenge.fault
def fault(lab):
    probe = {"httpGet": {"path": lab.given.dice.choice(("/healthz", "/ready", "/status", "/ping")), "port": 80}, "periodSeconds": 1}
    template = {"spec": {"containers": [{"name": "web", "image": "nginx", "readinessProbe": probe}]}}
    before = set(lab.app_pods())
    lab.patch("deployments", lab.given.app, {"spec": {"strategy": {"type": "Recreate", "rollingUpdate": None}, "template": template}})
    lab.until(lambda: not before & set(lab.app_pods()), "no pod of the old release")
    lab.await_running(2)
    lab.await_endpoints(0)
