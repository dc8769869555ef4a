"use strict";
// Everything on the page is made with textContent: what comes from elsewhere is never markup.
(() => {
  // What charts show, in ms: as much as there is, between these.
  const KEEP = 5 * 60 * 1000, LEAST = 30 * 1000;
  const $ = (id) => document.getElementById(id);

  function el(tag, cls, ...children) {
    const e = document.createElement(tag);
    if (cls) e.className = cls;
    e.append(...children.filter((c) => c !== null && c !== undefined && c !== ""));
    return e;
  }
  const badge = (text, cls) => el("span", "badge " + cls, text);

  // Quantities, as internal/human writes them.
  const ms = (d) => (d ? parseFloat(d) * 1000 : 0);
  const int = (n) => Number(n || 0);
  const trim = (v, digits) => String(Number(v.toFixed(digits)));
  function span(d) {
    const t = typeof d === "number" ? d : ms(d);
    if (t === 0) return "0 ms";
    if (t < 0.095) return trim(t, 2) + " ms";
    if (t < 9.95) return trim(t, 1) + " ms";
    if (t < 999.5) return trim(t, 0) + " ms";
    if (t < 99500) return trim(t / 1000, 1) + " s";
    if (t < 6e6) return trim(t / 60000, 0) + " min";
    return trim(t / 3.6e6, 0) + " h";
  }
  const count = (n) => int(n).toLocaleString("en-US");
  const rate = (r) => ((r || 0) < 9.95 ? trim(r || 0, 1) : Math.round(r).toLocaleString("en-US"));
  function percent(part, whole) {
    if (!part || !whole) return "0 %";
    const share = (100 * part) / whole;
    return share < 1 ? trim(Math.max(share, 0.1), 1) + " %" : share < 100 && share > 99 ? "99 %" : trim(share, 0) + " %";
  }
  const failed = (t) => (t.errors || []).reduce((sum, e) => sum + int(e.calls), 0);

  // What charts are drawn from: by name, "" for all calls.
  const series = new Map();
  let ended = 0; // the newest point
  function remember(s) {
    const at = Date.parse(s.time);
    if (at <= ended) return; // told again after a reconnect
    ended = at;
    for (const t of [s.total || {}, ...(s.methods || [])]) {
      const name = t.name || "";
      if (!series.has(name)) series.set(name, []);
      series.get(name).push({ at, rate: t.rate || 0, p50: ms(t.p50), p99: ms(t.p99), errors: (1000 * failed(t)) / (ms(s.window) || 1) });
    }
    for (const [name, points] of series) {
      while (points.length && points[0].at < at - KEEP) points.shift();
      if (!points.length) series.delete(name);
    }
  }

  const SVG = "http://www.w3.org/2000/svg";
  // chart draws lines over the last minutes; the first key is the area.
  function chart(name, keys, unit) {
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("class", "chart");
    svg.setAttribute("viewBox", "0 0 300 34");
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("role", "img");
    const points = series.get(name) || [];
    const top = Math.max(...points.flatMap((p) => keys.map(([k]) => p[k])), 1e-9);
    const shown = Math.min(KEEP, Math.max(LEAST, ended - series.get("")[0].at));
    const text = `at most ${unit(top)} in the last ${span(shown)}`;
    svg.setAttribute("aria-label", text);
    const title = document.createElementNS(SVG, "title");
    title.textContent = text;
    svg.append(title);
    const x = (p) => (300 * (p.at - ended + shown)) / shown;
    const y = (v) => 33 - (31 * v) / top;
    const draw = (d, cls) => {
      const path = document.createElementNS(SVG, "path");
      path.setAttribute("d", d);
      path.setAttribute("class", cls);
      svg.append(path);
    };
    keys.forEach(([key, cls], i) => {
      if (!points.length) return;
      const line = points.map((p) => `${x(p).toFixed(1)} ${y(p[key]).toFixed(1)}`).join("L");
      if (i === 0) draw(`M${x(points[0]).toFixed(1)} 33L${line}L${x(points.at(-1)).toFixed(1)} 33Z`, "area");
      draw("M" + line, cls);
    });
    return svg;
  }

  const CULPRITS = { NONE: ["all well", "good"], QDRANT: ["Qdrant", "bad"], NETWORK: ["the network", "bad"], APP: ["the app", "bad"], SETTINGS: ["the settings", "bad"] };
  const culprit = (f) => CULPRITS[(f.culprit || "").replace("CULPRIT_", "")] || ["?", "warn"];
  function findings(list) {
    const [first, ...rest] = list || [];
    const box = $("verdict");
    if (!first) return;
    const [who, cls] = culprit(first);
    box.className = "verdict " + cls;
    box.dataset.kind = first.kind;
    const idle = first.kind === "idle" || first.kind === "waiting";
    box.replaceChildren(
      badge(idle ? "nothing wrong seen" : who, cls),
      el("p", "sentence", first.sentence),
      el("ul", "", ...(first.evidence || []).map((e) => el("li", "", e))),
      first.action ? el("p", "action", el("b", "", "What to do: "), first.action) : "",
      rest.length ? el("ul", "others", ...rest.map((f) => el("li", "", badge(culprit(f)[0], "warn"), " ", f.sentence))) : "",
    );
  }

  function tile(label, value, cls, drawing) {
    return el("div", "tile", el("span", "faint", label), el("b", cls, value), drawing);
  }
  function tiles(s) {
    const t = s.total || {};
    const bad = failed(t), calls = int(t.calls);
    $("tiles").replaceChildren(
      tile("calls a second", rate(t.rate), "", chart("", [["rate", "main"]], rate)),
      tile("half within", t.p50 ? span(t.p50) : "–", "", chart("", [["p50", "main"]], span)),
      tile("99 % within", t.p99 ? span(t.p99) : "–", "", chart("", [["p99", "main"]], span)),
      tile("failed", percent(bad, calls), bad ? "badtext" : "", chart("", [["errors", "bad"]], (n) => rate(n) + " failed a second")),
      tile("under way", count(s.callsInFlight), "", el("span", "faint", `${count((s.retryBudget || {}).repeated)} repeated in ${span(s.window)}`)),
    );
  }

  const STAGES = [["receive", "receiving the request"], ["queue", "waiting for a place"], ["backoff", "between attempts"], ["way", "the way there and back"], ["qdrant", "Qdrant, as it says"], ["upstream", "network and Qdrant"], ["own", "the sidecar"]];
  // apart tells the network from Qdrant, where that says which part of the time upstream is
  // its own: it is asked in some of the calls, so that is a share.
  function apart(stages, said) {
    const qdrant = said ? ms(said.qdrant) : 0, way = said ? ms(said.way) : 0;
    if (!(qdrant + way > 0)) return stages;
    const own = (ms(stages.upstream) * qdrant) / (qdrant + way);
    return { ...stages, upstream: null, qdrant: `${own / 1000}s`, way: `${(ms(stages.upstream) - own) / 1000}s` };
  }
  function split(s) {
    const total = s.total || {}, stages = total.stages && apart(total.stages, total.serverTime);
    const title = el("h2", "", "Where the time of a call goes, on average");
    if (!stages) {
      $("split").replaceChildren(title, el("span", "faint", "No calls."));
      return;
    }
    const parts = STAGES.filter(([key]) => stages[key] !== null && (key in stages || (key !== "way" && key !== "qdrant"))).map(([key, text]) => [key, text, ms(stages[key])]);
    const bar = el("div", "bar", ...parts.filter((p) => p[2] > 0).map(([key, , t]) => {
      const part = el("i", key);
      part.style.flexGrow = t;
      part.title = span(t);
      return part;
    }));
    const legend = el("div", "legend", ...parts.map(([key, text, t]) => el("span", key, el("b", "", `${span(t)} `), el("span", "faint plain", text))));
    $("split").replaceChildren(title, bar, legend);
  }

  function rows(list, charts) {
    const kind = charts ? "row" : "row plain";
    const head = el("div", kind + " head",
      el("span", "name", ""), charts ? el("span", "", "rate") : "", el("span", "num", "per second"),
      el("span", "gap", charts ? "p50 and p99" : ""), el("span", "num", "p50"), el("span", "num", "p99"),
      el("span", "num", list.some((t) => t.serverTime) ? "Qdrant" : ""), el("span", "num", list.some((t) => int(t.attempts)) ? "attempts" : ""), el("span", "", "failed"));
    const label = (text) => el("span", "label", text + " ");
    return [head, ...list.map((t) => el("div", kind,
      el("span", "name", t.name),
      charts ? chart(t.name, [["rate", "main"]], rate) : "",
      el("span", "num", label("per s"), rate(t.rate)),
      charts ? chart(t.name, [["p99", "main"], ["p50", "soft"]], span) : el("span", "gap"),
      el("span", "num", label("p50"), t.p50 ? span(t.p50) : "–"),
      el("span", "num", label("p99"), t.p99 ? span(t.p99) : "–"),
      el("span", "num half", ...(t.serverTime ? [label("Qdrant"), span(t.serverTime.qdrant)] : [])),
      el("span", "num half", ...(int(t.attempts) && int(t.calls) ? [label("attempts"), (int(t.attempts) / int(t.calls)).toFixed(2)] : [])),
      el("span", "errors", ...(t.errors || []).map((e) => badge(`${e.code} ${count(e.calls)}`, "bad"))),
    ))];
  }

  const STANDINGS = { good: "good", connecting: "warn", ejected: "warn", drained: "warn", gone: "warn", sick: "bad", down: "bad" };
  function node(n) {
    const facts = [
      n.roundTrip && `PING ${span(n.roundTrip)}`,
      n.healthCheck && `HealthCheck ${span(n.healthCheck)}`,
      int(n.clients) > 0 && `${count(n.clients)} callers' connections`,
      int(n.goAways) > 0 && `${count(n.goAways)} GOAWAY`,
      int(n.failedChecks) > 0 && `${count(n.failedChecks)} HealthChecks failed`,
    ].filter(Boolean);
    const conns = (n.connections || []).map((c) => {
      const state = (c.state || "").replace("STATE_", "").toLowerCase();
      const box = el("div", "conn " + state);
      if (state === "ready" || state === "draining") {
        const fill = el("i", "");
        fill.style.width = Math.min(100, c.inFlight || 0) + "%";
        box.append(fill, el("span", "", String(c.inFlight || 0)));
        box.title = `connection ${c.id || 0}: ${c.inFlight || 0} calls under way, ${count(c.callsTotal)} ever`;
      } else {
        box.append(el("span", "", state));
      }
      return box;
    });
    const unused = (n.maxConnections || 0) - conns.length;
    return el("div", "node",
      el("div", "line", badge(n.standing, STANDINGS[n.standing] || "warn"), el("code", "", n.address), ...facts.map((f) => el("span", "faint", f))),
      el("div", "conns", ...conns, unused > 0 && n.standing !== "gone" ? el("span", "faint", `${conns.length ? "and " : ""}${unused} more when they are needed`) : ""),
      n.lastDialError ? el("div", "badtext", n.lastDialError.message) : "");
  }

  function guards(s) {
    const lines = [];
    const q = s.queue;
    if (q) {
      const parts = [`${count(q.admitted)} of ${int(q.limit) ? count(q.limit) : "any number of"} places taken`];
      parts.push(int(q.waiting) ? `${count(q.waiting)} wait` : "nobody waits");
      if (int(q.waited)) parts.push(`${count(q.waited)} waited ${span(q.meanWait)} on average`);
      if (int(q.refused)) parts.push(`${count(q.refused)} turned away`);
      lines.push(el("div", "line", badge("queue", int(q.refused) ? "bad" : int(q.waiting) ? "warn" : "good"), el("span", "", parts.join(", "))));
    }
    const b = s.retryBudget;
    if (b) {
      const text = `${count(b.recentRetries)} retries for ${count(b.recentCalls)} calls in 10 s` + (int(b.refused) ? `, ${count(b.refused)} were not affordable` : "");
      lines.push(el("div", "line", badge("retries", int(b.refused) ? "bad" : "good"), el("span", "", text)));
    }
    const breakers = s.breakers || [];
    if (!breakers.some((x) => x.state !== "closed")) lines.push(el("div", "line", badge("breakers", "good"), el("span", "", "none is open")));
    for (const x of breakers) {
      const open = x.state !== "closed";
      lines.push(el("div", "line", badge("breaker " + x.state, open ? "bad" : ""), el("b", "", x.method), el("code", "", x.node),
        el("span", "faint", `${count(x.failures)} failures in a row${x.remaining ? ", tries again in " + span(x.remaining) : ""}`)));
    }
    $("guards").replaceChildren(...lines);
  }

  // alike puts failures together that differ only in when they were; the newest stands for them.
  function alike(list) {
    const groups = new Map();
    for (const f of list) {
      const key = [f.code, f.method, f.collection, f.reason, f.outcome, f.node].join("\n");
      if (!groups.has(key)) groups.set(key, { newest: f, times: 0, oldest: f });
      const g = groups.get(key);
      g.times++;
      g.oldest = f;
    }
    return [...groups.values()];
  }
  function failure({ newest: f, times, oldest }, now) {
    const ago = (x) => span(Math.max(0, now - Date.parse(x.time)));
    const facts = [f.node && `at ${f.node}`, int(f.attempts) > 1 && `${f.attempts} attempts`, `after ${span(f.duration)}`, f.deadline && `of ${span(f.deadline)} that it had`].filter(Boolean);
    return el("div", "failure",
      el("div", "line", badge(times > 1 ? `${f.code} × ${times}` : f.code, "bad"), el("b", "", f.method), f.collection ? el("span", "", f.collection) : "",
        el("span", "", f.reason || (f.outcome || "").replaceAll("_", " ")), el("span", "faint", times > 1 ? `${ago(oldest)} to ${ago(f)} ago` : `${ago(f)} ago`)),
      el("div", "message", (f.message ? f.message + " · " : "") + (times > 1 ? "the newest " : "") + facts.join(" ")));
  }

  function show(s) {
    document.title = ((s.findings || [])[0] || {}).culprit === "CULPRIT_NONE" ? "✓ qdrant-sidecar" : "✗ qdrant-sidecar";
    const now = Date.parse(s.time);
    $("time").textContent = new Date(now).toLocaleTimeString() + (s.draining ? " · shutting down" : "") + (s.unready ? " · not ready" : "");
    findings(s.findings);
    tiles(s);
    split(s);
    const methods = s.methods || [];
    $("methods").replaceChildren(...(methods.length ? rows(methods, true) : [el("span", "faint", "No calls yet.")]));
    $("collectionsCard").hidden = !(s.collections || []).length;
    $("collections").replaceChildren(...rows(s.collections || [], false));
    $("restCard").hidden = !(s.restRoutes || []).length;
    $("rest").replaceChildren(...rows(s.restRoutes || [], false));
    $("nodes").replaceChildren(...(s.nodes || []).map(node), ...(s.unresolved ? [el("div", "badtext", s.unresolved.message)] : []));
    guards(s);
    const failures = s.lastFailures || [];
    $("failures").replaceChildren(...(failures.length ? alike(failures).map((g) => failure(g, now)) : [el("span", "faint", "None since the start.")]));
    document.body.dataset.shown = String(int(document.body.dataset.shown) + 1);
  }

  let paused = false, newest = null;
  $("pause").addEventListener("click", () => {
    paused = !paused;
    $("pause").setAttribute("aria-pressed", String(paused));
    $("pause").textContent = paused ? "Go on" : "Pause";
    if (!paused && newest) show(newest);
  });
  function link(text, cls) {
    $("link").textContent = text;
    $("link").className = "badge " + cls;
  }
  const events = new EventSource("events");
  events.addEventListener("open", () => link("live", "good"));
  events.addEventListener("error", () => link(events.readyState === EventSource.CLOSED ? "gone: reload" : "no answer, trying again", "bad"));
  events.addEventListener("past", (e) => remember(JSON.parse(e.data)));
  events.addEventListener("statistics", (e) => {
    newest = JSON.parse(e.data);
    remember(newest);
    if (!paused) show(newest);
  });
})();
