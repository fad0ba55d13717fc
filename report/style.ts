/**
 * The page's style sheet: light and dark by the reader's setting, one column for phones. Outcomes differ by colour and by
 * pattern, after Okabe and Ito's palette, and stand beside their words everywhere.
 *
 * Longer than 300 lines because it is one style sheet, and rules that belong together stand together.
 */
export const STYLE = `
:root {
  color-scheme: light dark;
  --page: #f6f5f1;
  --card: #ffffff;
  --ink: #1c2430;
  --soft: #56606f;
  --faint: #8a93a1;
  --line: #dcdad3;
  --well: #f1efe9;
  --accent: #0c6b62;
  --rst: #c1201f;
  --bad: #b3261e;
  --good: #0b6e4f;
  --good-well: #e0f2ea;
  --bad-well: #fbe6e2;
  --table: #1f5fa8;
  --table-well: #e7eff9;
  --table-fill: #b9d3f0;
  --tunnel: #e6dcc3;
  --tunnel-ink: #7a5c12;
  --gap: #f1efe9;
  --lifeline: #b3b8c0;
  --heat-kept: #cfeadd;
  --heat-backend: #fbd0ba;
  --heat-balancer: #f3c4e3;
  --heat-closed: #c3def6;
  --heat-502: #f8e0a0;
  --heat-hung: #d3d6dc;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #11151b;
    --card: #181d25;
    --ink: #e4e8ee;
    --soft: #a3adbb;
    --faint: #77828f;
    --line: #2c343f;
    --well: #202731;
    --accent: #5cc9b8;
    --rst: #ff7b72;
    --bad: #ff8f85;
    --good: #5fd0a0;
    --good-well: #14342a;
    --bad-well: #42201e;
    --table: #8fbdf2;
    --table-well: #182536;
    --table-fill: #2a4a70;
    --tunnel: #40381f;
    --tunnel-ink: #e2c06a;
    --gap: #1f2530;
    --lifeline: #4d5866;
    --heat-kept: #1a4637;
    --heat-backend: #6b3216;
    --heat-balancer: #5f2450;
    --heat-closed: #1d446b;
    --heat-502: #5c4708;
    --heat-hung: #434b57;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; text-size-adjust: 100%; scroll-behavior: smooth; }
@media (prefers-reduced-motion: reduce) { html { scroll-behavior: auto; } }
body {
  margin: 0;
  background: var(--page);
  color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", "Noto Sans", "DejaVu Sans", sans-serif;
}
main, .top, footer { max-width: 1064px; margin: 0 auto; padding: 0 20px; }
a { color: var(--accent); text-underline-offset: 2px; }
a:focus-visible, summary:focus-visible, .scroll:focus-visible { outline: 2px solid var(--accent); outline-offset: 3px; border-radius: 4px; }
code, .mono { font-family: ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; font-size: 0.875em; }
h1, h2, h3 { line-height: 1.2; margin: 0; font-weight: 680; letter-spacing: -0.012em; text-wrap: balance; }
h1 { font-size: clamp(1.7rem, 1.2rem + 2.2vw, 2.5rem); }
h2 { font-size: clamp(1.3rem, 1.1rem + 0.8vw, 1.6rem); }
h3 { font-size: 1rem; letter-spacing: 0; }
p { margin: 0; max-width: 70ch; text-wrap: pretty; }

.top { padding-top: 44px; padding-bottom: 8px; }
.kicker { color: var(--accent); font-weight: 640; letter-spacing: 0.02em; margin-bottom: 8px; }
.lead { margin-top: 12px; font-size: 1.075rem; color: var(--soft); }
.command { display: block; margin-top: 20px; padding: 10px 14px; background: var(--well); border: 1px solid var(--line); border-radius: 8px; overflow-wrap: anywhere; }
.command::before { content: "$ "; color: var(--faint); }
.facts { display: grid; grid-template-columns: max-content 1fr; gap: 3px 16px; margin: 14px 0 0; font-size: 0.9rem; }
.facts dt { color: var(--soft); }
.facts dd { margin: 0; overflow-wrap: anywhere; }

.card { background: var(--card); border: 1px solid var(--line); border-radius: 14px; padding: 26px 28px 28px; margin: 24px 0; scroll-margin-top: 12px; }
.card > h2 + p, .title-row + p { margin-top: 10px; }
.part { margin-top: 28px; }
.part > h3 { margin-bottom: 10px; }
.note { font-size: 0.875rem; color: var(--soft); margin-top: 8px; }
.title-row { display: flex; flex-wrap: wrap; gap: 8px 12px; align-items: center; }
.variant { color: var(--soft); font-weight: 500; }

.badge { display: inline-flex; align-items: center; gap: 6px; font-size: 0.8125rem; font-weight: 620; line-height: 1; padding: 6px 10px; border-radius: 999px; white-space: nowrap; }
.badge.held { background: var(--good-well); color: var(--good); }
.badge.broken { background: var(--bad-well); color: var(--bad); }

.overview { list-style: none; margin: 16px 0 0; padding: 0; }
.overview li { border-top: 1px solid var(--line); }
.overview li:last-child { border-bottom: 1px solid var(--line); }
.overview a.run { display: grid; grid-template-columns: minmax(190px, 1.1fr) minmax(120px, 1fr) minmax(190px, 1.3fr) 92px; gap: 6px 18px; align-items: center; padding: 10px 6px; text-decoration: none; color: var(--ink); }
.overview a.run:hover { background: var(--well); }
.overview .name { font-weight: 620; }
.overview .counts { font-size: 0.875rem; color: var(--soft); }
.overview .badge { justify-self: end; }
.elsewhere { margin-top: 14px; font-size: 0.9375rem; }

.settings { display: flex; flex-wrap: wrap; gap: 6px 8px; margin: 16px 0 0; }
.settings div { display: flex; gap: 8px; font-size: 0.875rem; padding: 4px 10px; border: 1px solid var(--line); border-radius: 999px; }
.settings dt { color: var(--soft); }
.settings dd { margin: 0; font-weight: 560; }

.two { display: grid; grid-template-columns: 1fr 1fr; gap: 0 44px; }
.times { display: grid; grid-template-columns: max-content 1fr max-content; gap: 7px 12px; align-items: center; font-size: 0.9375rem; }
.times .track { height: 10px; border-radius: 5px; background: var(--well); overflow: hidden; }
.times .track i { display: block; height: 100%; min-width: 3px; border-radius: 5px; background: var(--faint); }
.times .balancer i { background: var(--table); }
.times .silence i { background: repeating-linear-gradient(90deg, var(--ink) 0 5px, transparent 5px 9px); border-radius: 0; }
.times .value { font-variant-numeric: tabular-nums; text-align: right; }

.bar { display: flex; height: 34px; border-radius: 8px; overflow: hidden; gap: 2px; background: var(--card); }
.bar.small { height: 12px; border-radius: 4px; gap: 1px; }
.bar i { display: flex; align-items: center; justify-content: center; min-width: 4px; font-style: normal; font-weight: 700; font-size: 0.875rem; font-variant-numeric: tabular-nums; color: #fff; }
.bar i b { padding: 1px 7px; border-radius: 5px; background: rgb(0 0 0 / 0.32); font-weight: 700; }
.legend { list-style: none; display: grid; grid-template-columns: max-content 1fr max-content max-content; gap: 5px 10px; padding: 0; margin: 12px 0 0; font-size: 0.9375rem; }
.legend li { display: contents; }
.legend .swatch { width: 18px; height: 14px; border-radius: 3px; align-self: center; }
.legend .number { font-variant-numeric: tabular-nums; text-align: right; font-weight: 620; }
.legend .share { font-variant-numeric: tabular-nums; text-align: right; color: var(--soft); }

.outcome-kept { background: #0b7f5f; }
.outcome-closed-in-time { background: repeating-linear-gradient(90deg, #0b7f5f 0 6px, #6fb8a2 6px 8px); }
.outcome-reset-by-backend { background: repeating-linear-gradient(45deg, #c9501b 0 6px, #a83d0e 6px 9px); }
.outcome-reset-by-balancer { background: repeating-linear-gradient(-45deg, #a8327f 0 6px, #821d5f 6px 9px); }
.outcome-reset-by-unknown { background: repeating-linear-gradient(0deg, #7c6f64 0 4px, #5b5148 4px 6px); }
.outcome-closed-by-server { background: radial-gradient(circle at 3px 3px, #10548a 1.4px, transparent 1.8px) 0 0 / 7px 7px, #2a7fc0; }
.outcome-closed-by-balancer { background: repeating-linear-gradient(90deg, #27579b 0 5px, #163a70 5px 7px); }
.outcome-bad-gateway { background: repeating-linear-gradient(0deg, #b98300 0 5px, #8f6400 5px 7px); }
.outcome-hung { background: repeating-linear-gradient(45deg, transparent 0 5px, #2c333d 5px 7px), repeating-linear-gradient(-45deg, #5b6675 0 5px, #2c333d 5px 7px); }
.outcome-error { background: #333; }

.scroll { overflow-x: auto; overscroll-behavior-x: contain; -webkit-overflow-scrolling: touch; }
svg { display: block; max-width: 100%; height: auto; font-family: inherit; }
svg.narrow { display: none; }
svg text { fill: var(--ink); font-size: 13px; }
.halo { paint-order: stroke; stroke: var(--card); stroke-width: 6px; stroke-linejoin: round; }
.lane-name { text-anchor: middle; font-weight: 660; font-size: 14.5px; }
svg .lane-name.table-name { fill: var(--table); }
svg .lane-address, svg .time { font-family: ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; font-size: 11px; fill: var(--soft); }
.lane-address { text-anchor: middle; }
svg .time { text-anchor: end; font-variant-numeric: tabular-nums; }
.lifeline { stroke: var(--lifeline); stroke-width: 1.5; }
.lifeline.asleep { stroke-dasharray: 2 5; }
.lane-start { fill: var(--lifeline); }
.gap { fill: var(--gap); }
svg .gap-label { text-anchor: middle; fill: var(--soft); font-weight: 560; font-size: 13px; stroke: var(--gap); stroke-width: 8px; }
.arrow { stroke: var(--ink); stroke-width: 1.6; fill: none; }
.head { fill: var(--ink); }
svg .label { text-anchor: middle; font-weight: 500; }
.tunnel { stroke: var(--tunnel); stroke-width: 9; stroke-linecap: round; }
svg .tunnel-name { fill: var(--tunnel-ink); font-weight: 700; font-size: 0.82em; letter-spacing: 0.04em; }
.arrow.reset { stroke: var(--rst); stroke-width: 2.6; }
.head.reset, .reset-origin { fill: var(--rst); }
svg .label.reset { fill: var(--rst); font-weight: 700; }
.arrow.lost { stroke: var(--bad); stroke-dasharray: 5 3; }
svg .label.lost, svg .label.failure { fill: var(--bad); font-weight: 650; }
.arrow.failure { stroke: var(--bad); }
.head.failure { fill: var(--bad); }
.table-lane { fill: var(--table-well); }
.table-fill { fill: var(--table-fill); }
.table-step { stroke: var(--table); stroke-width: 1.5; }
svg .table-entries { fill: var(--table); font-weight: 680; }
svg .table-entries.empty { font-weight: 680; }
svg .table-remark { font-size: 12px; }

.topology .cable { fill: none; stroke: var(--lifeline); stroke-width: 2; }
.topology .host rect { fill: var(--well); stroke: var(--line); }
.topology .host.balancer rect { fill: var(--table-well); stroke: var(--table); }
svg .host-name { font-weight: 660; font-size: 14px; }
svg .address, svg .route { font-family: ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; font-size: 11px; white-space: pre; }
svg .route { fill: var(--soft); }
svg .vip { fill: var(--table); font-weight: 700; }
.network + .network { margin-top: 34px; }
.network h3 { margin-bottom: 14px; }

details { margin-top: 14px; }
summary { cursor: pointer; color: var(--accent); font-weight: 560; font-size: 0.9375rem; width: fit-content; padding: 4px 0; }
table { border-collapse: collapse; font-size: 0.875rem; }
th, td { text-align: left; padding: 6px 14px 6px 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th { color: var(--soft); font-weight: 560; white-space: nowrap; }
td.at, td.time { font-variant-numeric: tabular-nums; white-space: nowrap; }
tr.reset td { color: var(--rst); font-weight: 620; }
tr.table-row td { color: var(--table); }

table.heat { width: 100%; border-collapse: separate; border-spacing: 3px; table-layout: fixed; min-width: 800px; }
.heat th, .heat td { border: 0; padding: 0; white-space: normal; }
.heat thead td { width: 178px; }
.heat thead th { padding: 0 4px 6px; vertical-align: bottom; font-weight: 400; }
.heat .ordering { display: block; font-weight: 680; color: var(--ink); font-size: 0.9375rem; }
.heat .side { display: block; font-size: 0.75rem; line-height: 1.35; }
.heat tbody th { padding: 7px 10px 7px 0; color: var(--ink); font-weight: 640; position: sticky; left: 0; background: var(--card); z-index: 1; }
.heat .summary { display: block; font-weight: 400; font-size: 0.78rem; line-height: 1.35; color: var(--soft); }
.heat td.cell { padding: 8px 9px 9px; border-radius: 7px; background: var(--heat); background: color-mix(in oklab, var(--heat) var(--depth), var(--card)); vertical-align: top; height: 66px; }
.heat .verdict { display: block; font-weight: 640; line-height: 1.25; }
.heat td .ordering { display: none; font-size: 0.78rem; font-weight: 560; }
.heat .count { display: block; font-variant-numeric: tabular-nums; font-size: 0.8125rem; margin-bottom: 6px; }
.heat .bar.small { height: 7px; background: none; }
.heat td.broken { outline: 3px solid var(--bad); outline-offset: -3px; }
.heat .promised { display: block; margin-top: 5px; font-size: 0.78rem; font-weight: 560; }
.heat-kept { --heat: var(--heat-kept); }
.heat-closed-in-time { --heat: var(--heat-kept); }
.heat-reset-by-backend { --heat: var(--heat-backend); }
.heat-reset-by-balancer { --heat: var(--heat-balancer); }
.heat-closed-by-server, .heat-closed-by-balancer { --heat: var(--heat-closed); }
.heat-bad-gateway { --heat: var(--heat-502); }
.heat-hung, .heat-error, .heat-reset-by-unknown { --heat: var(--heat-hung); }
.key { list-style: none; display: flex; flex-wrap: wrap; gap: 6px 18px; padding: 0; margin: 14px 0 0; font-size: 0.9rem; }
.key li { display: flex; gap: 8px; align-items: center; }
.key .swatch { width: 18px; height: 14px; border-radius: 3px; }

.claims { list-style: none; margin: 0; padding: 0; display: grid; gap: 5px; }
.claims li { display: grid; grid-template-columns: 22px 1fr; font-size: 0.9375rem; }
.claims .mark { font-weight: 700; }
.claims .held .mark { color: var(--good); }
.claims .broken { color: var(--bad); font-weight: 560; }
.claims .seen { color: var(--soft); }
.claims .broken .seen { color: inherit; }

.capture { display: grid; gap: 8px; padding: 14px 16px; background: var(--well); border-radius: 10px; font-size: 0.9375rem; }
.capture dl { display: grid; grid-template-columns: max-content 1fr; gap: 4px 14px; margin: 0; }
.capture dt { color: var(--soft); }
.capture dd { margin: 0; overflow-wrap: anywhere; }
footer { padding-top: 8px; padding-bottom: 56px; color: var(--soft); font-size: 0.875rem; }

@media (max-width: 860px) {
  svg.wide { display: none; }
  svg.narrow { display: block; width: 100%; max-width: 470px; }
  .two { grid-template-columns: 1fr; }
  svg text { font-size: 10.5px; }
  svg .lane-name { font-size: 10.5px; letter-spacing: -0.01em; }
  svg .address, svg .route { font-size: 11px; }
  svg .time, svg .table-remark { font-size: 9.5px; }
  svg .gap-label { font-size: 11.5px; }
  svg .host-name { font-size: 13.5px; }
  table.heat { min-width: 0; display: block; }
  .heat thead { display: none; }
  .heat tbody { display: block; }
  .heat tr { display: grid; grid-template-columns: repeat(3, 1fr); gap: 4px; margin-bottom: 18px; }
  .heat tbody th { grid-column: 1 / -1; padding: 0; position: static; }
  .heat td.cell { height: auto; min-height: 74px; }
  .heat td .ordering { display: block; }
  .overview a.run { grid-template-columns: 1fr max-content; padding: 12px 2px; }
  .overview .bar { grid-column: 1 / -1; order: 3; }
  .overview .counts { grid-column: 1 / -1; order: 4; }
}
@media (max-width: 520px) {
  main, .top, footer { padding-left: 12px; padding-right: 12px; }
  .top { padding-top: 28px; }
  .heat tr { grid-template-columns: 1fr 1fr; }
  .card { padding: 20px 14px 22px; border-radius: 12px; margin: 16px 0; }
  .facts, .capture dl { grid-template-columns: 1fr; gap: 0; }
  .facts dd, .capture dd { margin-bottom: 6px; }
}
@media print {
  :root { --page: #fff; }
  .card { break-inside: avoid-page; }
}
`;
