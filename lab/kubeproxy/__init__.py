"""kube-proxy: from services and endpoints to iptables rules, as data and text; and the thin code that applies them."""
