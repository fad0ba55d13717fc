/**
 * The page as Eta templates. `<%=` escapes; `<%~` takes markup as it is, and stands only where a drawing or another
 * template goes. report/page.ts fills them in.
 */

export const PAGE = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="generator" content="<%= it.generator %>">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title><%= it.title %></title>
<link rel="icon" href="data:,">
<style><%~ it.style %></style>
</head>
<body>
<header class="top">
<p class="kicker">hushlb lab</p>
<h1><%= it.title %></h1>
<p class="lead"><%= it.lead %></p>
<% for (const about of it.abouts) { %><%~ include('@about', about) %><% } %>
</header>
<main>
<% if (it.runs.length > 0) { %><%~ include('@overview', it) %><% } %>
<% if (it.matrix !== null) { %><%~ include('@matrix', it.matrix) %><% } %>
<% if (it.networks.length > 0) { %><%~ include('@networks', it) %><% } %>
<% for (const run of it.runs) { %><%~ include('@run', run) %><% } %>
</main>
<footer><p>All of it was measured on one machine, in network namespaces that were made for it. A connection's outcome is what its client saw; who
caused it is what the captures at every host prove.</p></footer>
</body>
</html>
`;

export const ABOUT = `<code class="command"><%= it.command %></code>
<dl class="facts">
<dt>Finished</dt><dd><time datetime="<%= it.isoDate %>"><%= it.date %></time></dd>
<dt>Versions</dt><dd><%= it.versions %></dd>
<dt>Kernel</dt><dd><%= it.kernel %></dd>
<dt>Machine</dt><dd><%= it.machine %></dd>
</dl>
`;

export const OVERVIEW = `<nav class="card" aria-labelledby="overview">
<h2 id="overview">At a glance</h2>
<ol class="overview">
<% for (const run of it.runs) { %><li><a class="run" href="#<%= run.id %>">
<span class="name"><%= run.name %><% if (run.variant !== null) { %> <span class="variant"><%= run.variant %></span><% } %></span>
<%~ include('@bar', { parts: run.outcomes, small: true }) %>
<span class="counts"><%= run.outcomesInWords %></span>
<%~ include('@badge', { held: run.held, what: '' }) %>
</a></li>
<% } %></ol>
<p class="elsewhere"><% if (it.matrix !== null) { %><a href="#matrix">The matrix of idle timeouts</a> · <% } %><a href="#networks">The networks, with their addresses</a></p>
</nav>
`;

export const BADGE = `<span class="badge <%= it.held ? 'held' : 'broken' %>"><%= it.held ? '✓' : '✕' %> <%= it.what %><%= it.held ? 'held' : 'broken' %></span>`;

export const BAR = `<span class="bar<%= it.small ? ' small' : '' %>" aria-hidden="true"><% for (const part of it.parts) { %><i class="<%= part.className %>" style="flex:<%= part.count %>"><% if (!it.small && part.roomy) { %><b><%= part.count %></b><% } %></i><% } %></span>`;

export const NETWORKS = `<section class="card" id="networks">
<h2>Networks</h2>
<p>Each host is a network namespace. Blue is what takes part in balancing: the balancer, and the VIP wherever it is.</p>
<% for (const network of it.networks) { %><div class="part network" id="<%= network.id %>">
<h3><%= network.title %></h3>
<div class="scroll" tabindex="0" role="group" aria-label="<%= network.title %>"><%~ network.wide %><%~ network.narrow %></div>
<p class="note"><% for (const [i, run] of network.runs.entries()) { %><%= i === 0 ? '' : ' · ' %><a href="#<%= run.id %>"><%= run.title %></a><% } %></p>
</div>
<% } %></section>
`;

export const RUN = `<section class="card run-section" id="<%= it.id %>" aria-labelledby="<%= it.id %>-name">
<div class="title-row"><h2 id="<%= it.id %>-name"><%= it.name %><% if (it.variant !== null) { %> <span class="variant"><%= it.variant %></span><% } %></h2>
<%~ include('@badge', { held: it.held, what: 'promise ' }) %></div>
<p><%= it.story %></p>
<dl class="settings"><% for (const [term, value] of it.settings) { %><div><dt><%= term %></dt><dd><%= value %></dd></div><% } %></dl>
<div class="two">
<div class="part">
<h3><%= it.outcomeTitle %></h3>
<%~ include('@bar', { parts: it.outcomes, small: false }) %>
<ul class="legend"><% for (const part of it.outcomes) { %><li><span class="swatch <%= part.className %>"></span><span><%= part.label %></span><span class="number"><%= part.count %></span><span class="share"><%= part.percent %></span></li><% } %></ul>
<% for (const fact of it.facts) { %><p class="note"><%= fact %></p><% } %>
</div>
<div class="part">
<h3>Idle timeouts</h3>
<div class="times"><% for (const time of it.times) { %><span><%= time.label %></span><span class="track <%= time.className %>"><i style="width:<%= time.width %>%"></i></span><span class="value"><%= time.value %></span><% } %></div>
</div>
</div>
<% if (it.sequence !== null) { %><div class="part">
<h3><%= it.sequence.title %></h3>
<div class="scroll" tabindex="0" role="group" aria-label="<%= it.sequence.title %>"><%~ it.sequence.wide %><%~ it.sequence.narrow %></div>
<% for (const note of it.sequence.notes) { %><p class="note"><%= note %></p><% } %>
<details><summary>The same as a table, with the time at every host</summary>
<div class="scroll" tabindex="0" role="group" aria-label="The packets as a table"><table>
<thead><tr><th scope="col">packet</th><% for (const head of it.sequence.columns) { %><th scope="col"><%= head %></th><% } %></tr></thead>
<tbody><% for (const row of it.sequence.rows) { %><tr class="<%= row.className %>"><td><%= row.label %></td><% if (row.wide !== null) { %><td colspan="<%= it.sequence.columns.length %>"><%= row.wide %></td><% } else { for (const at of row.at) { %><td class="at"><%= at %></td><% } } %></tr>
<% } %></tbody></table></div></details>
</div><% } %>
<div class="two">
<div class="part">
<h3>What was promised</h3>
<ul class="claims"><% for (const claim of it.claims) { %><li class="<%= claim.held ? 'held' : 'broken' %>"><span class="mark" aria-label="<%= claim.held ? 'held' : 'broken' %>"><%= claim.held ? '✓' : '✕' %></span><span><%= claim.promised %> <span class="seen">(<%= claim.seen %>)</span></span></li><% } %></ul>
</div>
<div class="part">
<h3>Packets</h3>
<div class="capture">
<p><a href="<%= it.capture.href %>" download><%= it.capture.file %></a>: <%= it.capture.size %></p>
<dl>
<% for (const [what, filter] of it.capture.filters) { %><dt><%= what %></dt><dd><code><%= filter %></code></dd><% } %>
</dl>
</div>
<p class="note">Opens in Wireshark: one interface for each host, a comment on each packet that decides. Filters for its display.</p>
<p class="note"><a href="#<%= it.networkId %>">The network it ran on</a></p>
</div>
</div>
</section>
`;

export const MATRIX = `<section class="card" id="matrix" aria-labelledby="matrix-name">
<div class="title-row"><h2 id="matrix-name">The matrix</h2>
<%~ include('@badge', { held: it.held, what: 'promise ' }) %></div>
<p>What stands between client and server, in every ordering of the three idle timeouts. Each cell says the worst that happened there, and to how
many of its connections; the deeper its colour, the more of them.</p>
<dl class="settings"><% for (const [term, value] of it.settings) { %><div><dt><%= term %></dt><dd><%= value %></dd></div><% } %></dl>
<div class="part scroll" tabindex="0" role="group" aria-label="The matrix"><table class="heat">
<thead><tr><td></td><% for (const column of it.columns) { %><th scope="col"><span class="ordering"><%= column.label %></span><% for (const [side, time] of column.times) { %><span class="side"><%= side %> <%= time %></span><% } %></th><% } %></tr></thead>
<tbody><% for (const row of it.rows) { %><tr><th scope="row"><%= row.name %><span class="summary"><%= row.summary %></span></th><% for (const cell of row.cells) { %><td class="cell heat-<%= cell.verdict %><%= cell.held ? '' : ' broken' %>" style="--depth:<%= cell.depth %>%"><span class="ordering"><%= cell.ordering %></span><span class="verdict"><%= cell.held ? '' : '✕ ' %><%= cell.label %></span><span class="count"><%= cell.count %></span><%~ include('@bar', { parts: cell.parts, small: true }) %><% if (!cell.held) { %><span class="promised">promised: <%= cell.promised %></span><% } %></td><% } %></tr>
<% } %></tbody></table></div>
<ul class="key"><% for (const entry of it.legend) { %><li><span class="swatch <%= entry.className %>"></span><%= entry.label %></li><% } %></ul>
<p class="note">c, client; b, balancer; s, server: whose idle timeout is the shortest, the next, the longest: <%= it.times %>.</p>
<% if (it.broken.length > 0) { %><ul class="claims"><% for (const line of it.broken) { %><li class="broken"><span class="mark" aria-label="broken">✕</span><span><%= line %></span></li><% } %></ul><% } %>
<details><summary>Every moment of every cell</summary>
<div class="scroll" tabindex="0" role="group" aria-label="Every moment of every cell"><table>
<thead><tr><th scope="col">row</th><th scope="col">ordering</th><th scope="col">moment</th><th scope="col">idle for</th><th scope="col">outcomes</th></tr></thead>
<tbody><% for (const moment of it.moments) { %><tr><td><%= moment.row %></td><td class="at"><%= moment.ordering %></td><td><%= moment.kind %></td><td class="at"><%= moment.pause %></td><td><%= moment.outcomes %></td></tr>
<% } %></tbody></table></div></details>
</section>
`;
