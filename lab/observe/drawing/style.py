"""The style sheet of the pictures: colours as variables, light by default, dark where the reader's system is, black on white in print."""

from __future__ import annotations

LIGHT = """
--paper:#ffffff;--ink:#1b2430;--muted:#5b6878;--edge:#8794a5;--panel:#f4f6f9;--node:#f7f9fc;--node-edge:#c3ccd8;
--pod:#e3f1ff;--pod-edge:#5a9bd8;--device:#fff1d6;--device-edge:#d99a2b;--daemon:#f1e8fd;--daemon-edge:#9a6fd0;
--bridge:#dff3e4;--bridge-edge:#4fa06a;--rules:#fde8ec;--rules-edge:#d0607a;--router:#e6eaf0;--router-edge:#68778a;
--client:#eef0e2;--client-edge:#8e9455;--service:#fff5f7;--tunnel:#c07c10;--path:#1769c4;--good:#1a7f43;--bad:#c22f3d;
"""

DARK = """
--paper:#12171e;--ink:#e4eaf1;--muted:#9aa8b8;--edge:#76869a;--panel:#1a212a;--node:#1a212b;--node-edge:#3a4757;
--pod:#16324d;--pod-edge:#5a9bd8;--device:#3b2d10;--device-edge:#d99a2b;--daemon:#2e2343;--daemon-edge:#a583d8;
--bridge:#173423;--bridge-edge:#57ab74;--rules:#3d1d26;--rules-edge:#dd7890;--router:#28313c;--router-edge:#8a99ab;
--client:#2c2e1b;--client-edge:#a9af6c;--service:#24181d;--tunnel:#e0a23a;--path:#6db1ff;--good:#5fce8b;--bad:#ff7c86;
"""

VARIABLES = f".lab-picture{{{LIGHT}}}@media screen and (prefers-color-scheme:dark){{.lab-picture{{{DARK}}}}}"
"""Only where a picture stands alone: a page has the same variables on its root."""

SHAPES = """
.lab-picture{font-family:system-ui,"Noto Sans","Noto Sans CJK SC","PingFang SC","Microsoft YaHei",sans-serif;color:var(--ink)}
.lab-picture text{font-size:11px;fill:var(--ink);white-space:pre}
.lab-picture .paper{fill:var(--paper)}
.lab-picture .mono{font-family:ui-monospace,"DejaVu Sans Mono",Menlo,Consolas,monospace;font-size:11px}
.lab-picture .name{font-size:13px;font-weight:600}
.lab-picture .title{font-size:18px;font-weight:650}
.lab-picture .small{font-size:10px;fill:var(--muted)}
.lab-picture .muted{fill:var(--muted)}
.lab-picture .accent{fill:var(--path);font-weight:600}
.lab-picture .bad{fill:var(--bad);font-weight:600}
.lab-picture .box rect{fill:var(--panel);stroke:var(--edge);stroke-width:1}
.lab-picture .node>rect{fill:var(--node);stroke:var(--node-edge)}
.lab-picture .cell-master>rect{fill:var(--node);stroke:var(--daemon-edge)}
.lab-picture .panel>rect,.lab-picture .area>rect{fill:none;stroke:var(--node-edge)}
.lab-picture .card>rect,.lab-picture .router>rect,.lab-picture .switch>rect{fill:var(--router);stroke:var(--router-edge)}
.lab-picture .client>rect{fill:var(--client);stroke:var(--client-edge)}
.lab-picture .pod>rect{fill:var(--pod);stroke:var(--pod-edge)}
.lab-picture .pod-waiting>rect{fill:none;stroke:var(--pod-edge);stroke-dasharray:4 3}
.lab-picture .device>rect{fill:var(--device);stroke:var(--device-edge)}
.lab-picture .daemon>rect{fill:var(--daemon);stroke:var(--daemon-edge)}
.lab-picture .daemon-gone>rect{fill:none;stroke:var(--bad);stroke-dasharray:4 3}
.lab-picture .bridge>rect{fill:var(--bridge);stroke:var(--bridge-edge)}
.lab-picture .rules>rect{fill:var(--rules);stroke:var(--rules-edge)}
.lab-picture .service>rect{fill:var(--service);stroke:var(--rules-edge);stroke-dasharray:5 4}
.lab-picture .idle>rect,.lab-picture .more>rect,.lab-picture .waiting>rect{fill:none;stroke:var(--edge);stroke-dasharray:3 3}
.lab-picture .number>rect{fill:var(--path);stroke:none}
.lab-picture .number text{fill:var(--paper);font-weight:700}
.lab-picture .header>rect{fill:var(--panel);stroke:var(--edge)}
.lab-picture .outer>rect{fill:var(--device);stroke:var(--device-edge)}
.lab-picture .link{fill:none;stroke:var(--edge);stroke-width:1.5;stroke-linejoin:round}
.lab-picture .link.wire{stroke:var(--router-edge);stroke-width:2}
.lab-picture .link.local{stroke:var(--edge);stroke-width:1.5}
.lab-picture .link.tunnel{stroke:var(--tunnel);stroke-width:2.5}
.lab-picture .link.control{stroke:var(--daemon-edge);stroke-dasharray:3 3}
.lab-picture .link.service{stroke:var(--rules-edge);stroke-dasharray:5 4}
.lab-picture .link.path{stroke:var(--path);stroke-width:2.5}
.lab-picture .head{fill:var(--path);stroke:none}
.lab-picture .head.control{fill:var(--daemon-edge)}
.lab-picture .head.service{fill:var(--rules-edge)}
.lab-picture .head.tunnel{fill:var(--tunnel)}
.lab-picture .cell>rect{fill:var(--node);stroke:var(--node-edge)}
.lab-picture .dot{fill:var(--path);stroke:var(--paper);stroke-width:2}
"""

STYLE = (VARIABLES + SHAPES).replace("\n", "")
"""Everything a picture that stands alone needs."""

EMBEDDED = SHAPES.replace("\n", "")
"""What a page needs for pictures in it, beside LIGHT and DARK on its root."""
