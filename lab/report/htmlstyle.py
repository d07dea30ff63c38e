"""The style sheet of the HTML report: light and dark as the reader's system says, and a layout for paper."""

from __future__ import annotations

from lab.observe.drawing.journey import STYLE as JOURNEYS
from lab.observe.drawing.style import DARK, EMBEDDED, LIGHT

_PAGE = """
*{box-sizing:border-box}
html{scroll-behavior:smooth;scroll-padding-top:1rem}
body{margin:0;background:var(--paper);color:var(--ink)}
body{font:15px/1.55 system-ui,"Noto Sans","Noto Sans CJK SC","PingFang SC","Microsoft YaHei",sans-serif}
a{color:var(--path)}
:focus-visible{outline:3px solid var(--path);outline-offset:2px;border-radius:3px}
.skip{position:absolute;left:-99rem}
.skip:focus{left:1rem;top:1rem;background:var(--paper);padding:.5rem 1rem;z-index:9}
.pick{position:absolute;opacity:0;width:1px;height:1px}
.languages{position:absolute;top:1rem;right:1.5rem;font-size:.85rem}
.languages label{cursor:pointer;padding:.2rem .6rem;border:1px solid var(--node-edge);color:var(--muted)}
.languages label:first-of-type{border-radius:1rem 0 0 1rem}
.languages label:last-of-type{border-radius:0 1rem 1rem 0;border-left:0}
#say-en:checked~.languages .to-en,#say-zh:checked~.languages .to-zh{background:var(--path);border-color:var(--path);color:var(--paper)}
#say-en:focus-visible~.languages .to-en,#say-zh:focus-visible~.languages .to-zh{outline:3px solid var(--path);outline-offset:2px}
#say-en:checked~.page .zh,#say-zh:checked~.page .en{display:none}
.page{display:grid;grid-template-columns:17rem minmax(0,1fr);max-width:100rem;margin:0 auto}
nav{position:sticky;top:0;align-self:start;max-height:100vh;overflow:auto;padding:1.4rem .5rem 2rem 1.5rem;font-size:.85rem;line-height:1.35}
nav p{margin:1rem 0 .4rem;font-weight:600}
nav ol{list-style:none;margin:0;padding:0}
nav a{display:flex;gap:.45rem;padding:.22rem .4rem;border-radius:4px;color:inherit;text-decoration:none}
nav a:hover{background:var(--panel)}
main{padding:1.4rem 2rem 5rem 1.5rem;min-width:0}
h1{font-size:1.5rem;margin:0 9rem .2rem 0;line-height:1.25}
h2{font-size:1.15rem;margin:2.2rem 0 .7rem}
h3{font-size:1.08rem;margin:0;line-height:1.35}
.run+.run{border-top:3px solid var(--node-edge);margin-top:3.5rem;padding-top:2rem}
.muted{color:var(--muted)}
.lead{max-width:60rem;color:var(--muted);margin:.3rem 0 1rem}
.verdict{display:flex;flex-wrap:wrap;gap:.3rem 1.6rem;align-items:baseline}
.verdict{border-left:5px solid;padding:.6rem 1rem;background:var(--panel);border-radius:4px}
.verdict.good{border-color:var(--good)}
.verdict.bad{border-color:var(--bad)}
.verdict strong{font-size:1.05rem}
.good>.mark,.mark.good,.verdict.good strong{color:var(--good)}
.bad>.mark,.mark.bad,.verdict.bad strong{color:var(--bad)}
.mark{font-weight:700;flex:none}
.mark.skipped{color:var(--tunnel)}
.figure{margin:0;border:1px solid var(--node-edge);border-radius:8px;padding:.3rem;overflow-x:auto;text-align:center;background:var(--paper)}
.figure svg{max-width:100%;height:auto;min-width:min(100%,46rem)}
details>summary{cursor:pointer;padding:.35rem 0;color:var(--muted)}
details>summary:hover{color:var(--ink)}
table{border-collapse:collapse;width:100%;font-size:.9rem}
th{text-align:left;color:var(--muted);font-weight:600;border-bottom:1px solid var(--node-edge);padding:.2rem .6rem .3rem 0}
td{padding:.24rem .6rem .24rem 0;border-bottom:1px solid var(--panel);vertical-align:middle}
td.number,th.number{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}
td.bar{width:28%}
.bar svg{display:block;width:100%;height:.6rem}
.bar rect{fill:var(--path)}
.bar rect.boot{fill:var(--daemon-edge)}
.bar rect.bad{fill:var(--bad)}
.step{border:1px solid var(--node-edge);border-radius:8px;margin:1.1rem 0;overflow:hidden;scroll-margin-top:1rem}
.step>header{display:flex;gap:.7rem;align-items:baseline;padding:.65rem 1rem;background:var(--panel)}
.step>header .time{margin-left:auto;color:var(--muted);white-space:nowrap;font-size:.85rem}
.step>.inside{padding:.2rem 1rem 1rem}
.step.bad{border-color:var(--bad)}
.why{max-width:60rem;margin:.6rem 0}
pre{font:12.5px/1.5 ui-monospace,"DejaVu Sans Mono",Menlo,Consolas,monospace}
pre{margin:.55rem 0;padding:.6rem .8rem;background:var(--panel);border-radius:6px;overflow-x:auto}
pre .prompt{color:var(--good)}
pre .command{font-weight:700}
pre .status,pre .fold{color:var(--muted)}
pre .stderr{color:var(--tunnel)}
pre+details>pre,details>pre{margin-top:.2rem}
.checks{list-style:none;margin:.4rem 0;padding:0}
.checks li{display:flex;gap:.6rem;margin:.15rem 0}
.checks li>div{min-width:0;flex:1}
.note{border-left:3px solid var(--device-edge);background:var(--device);padding:.4rem .8rem;border-radius:4px;margin:.6rem 0;max-width:62rem}
.diff ins{color:var(--good);text-decoration:none}
.diff del{color:var(--bad);text-decoration:none}
.diff dt{color:var(--muted)}
.diff dd{margin:0}
dl.pair{display:grid;grid-template-columns:max-content minmax(0,1fr);gap:.15rem .8rem;margin:.3rem 0}
dl.pair dt{color:var(--muted)}
dl.pair dd{margin:0}
dl.pair pre{margin:0}
.reason{color:var(--bad)}
.journey label{cursor:pointer;display:inline-block;margin:.3rem 0;padding:.1rem .7rem;font-size:.85rem}
.journey label{border:1px solid var(--node-edge);border-radius:1rem}
.pause:checked+label{background:var(--path);color:var(--paper)}
.pause:focus-visible+label{outline:3px solid var(--path)}
.pause:checked~.figure *{animation-play-state:paused!important}
code{font:12px/1.45 ui-monospace,"DejaVu Sans Mono",Menlo,Consolas,monospace;overflow-wrap:anywhere}
.shown{font-weight:600;margin:.8rem 0 0}
@media (max-width:60rem){.page{grid-template-columns:minmax(0,1fr)}nav{position:static;max-height:none;padding:3rem 1rem 0}main{padding:1rem}}
@media (max-width:60rem){h1{margin-right:0}}
@media print{
@page{margin:14mm}
body{font-size:10pt}
nav,.languages,.skip,.pick,.journey label{display:none}
.page{display:block;max-width:none}
main{padding:0}
a{color:inherit;text-decoration:none}
pre{white-space:pre-wrap;overflow-wrap:anywhere;font-size:8pt;border:1px solid var(--node-edge)}
.step{break-inside:auto;overflow:visible}
.step>header,h2,h3{break-after:avoid}
.figure,.checks li,tr{break-inside:avoid}
.figure{overflow:visible}
.figure svg{min-width:0;max-height:230mm}
details::details-content{content-visibility:visible;block-size:auto}
.run+.run{break-before:page;border:0}
*{print-color-adjust:exact;-webkit-print-color-adjust:exact}
}
"""


def sheet() -> str:
    """The whole style sheet, on one line."""
    dark = f"@media screen and (prefers-color-scheme:dark){{:root{{{DARK}color-scheme:dark}}}}"
    return f":root{{{LIGHT}color-scheme:light}}{dark}{EMBEDDED}{JOURNEYS}{_PAGE}".replace("\n", "")
