(async () => {
  "use strict";
  // Text of a session only ever becomes text nodes and, in links, an encoded fragment.
  const PAGE = 100;
  const get = (id) => document.getElementById(id);

  const make = (tag, properties, ...children) => {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(properties || {})) {
      if (name === "class") node.className = value;
      else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
      else node.setAttribute(name, value);
    }
    node.append(...children.filter((child) => child !== "" && child != null));
    return node;
  };

  const svg = (tag, attributes, ...children) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    node.append(...children);
    return node;
  };

  const seconds = (value) => {
    if (value < 0.0005) return "0 s";
    if (value < 0.9995) return `${Math.round(value * 1000)} ms`;
    if (value < 59.95) return `${value.toFixed(1)} s`;
    const whole = Math.round(value);
    const two = (number) => String(number).padStart(2, "0");
    if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`;
    return `${Math.floor(whole / 3600)} h ${two(Math.floor((whole % 3600) / 60))} min`;
  };

  const unpack = async (text) => {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).json();
  };

  let data;
  try {
    data = await unpack(get("data").textContent);
  } catch (error) {
    get("note").textContent = `This browser cannot show the table (${error.message}).`;
    return;
  }
  const known = new Set(data.verdicts);
  const tests = data.tests || [];
  tests.forEach((test, index) => {
    test.index = index;
    test.s = test.s || 0;
    test.recovery = test.recovery || 0;
    test.worker = test.worker || "";
    const tried = test.attempts || [];
    test.count = test.verdict === "blocked" ? tried.length : tried.length || 1;
    test.words = [
      test.id, test.verdict, `worker:${test.worker}`, test.kept ? "kept" : "",
      ...tried.flatMap((a) => [
        `type:${a.error_type || ""}`, `rule:${a.rule || ""}`, `strategy:${a.strategy || ""}`,
        `browser:${a.browser || ""}`, a.injected ? `injected:${a.injected}` : "",
        a.exception || "", a.message || "",
      ]),
    ].join("\n").toLowerCase();
  });
  const longest = tests.reduce((most, test) => Math.max(most, test.s), 0) || 1;
  const state = { q: "", verdict: new Set(), sort: "", page: 1, open: new Set(), link: null };

  // --- which tests, in which order

  const rank = (test) => data.verdicts.indexOf(test.verdict);
  const orders = {
    verdict: (a, b) => rank(a) - rank(b),
    id: (a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0),
    worker: (a, b) => a.worker.localeCompare(b.worker, "en", { numeric: true }),
    attempts: (a, b) => a.count - b.count,
    recovery: (a, b) => a.recovery - b.recovery,
    s: (a, b) => a.s - b.s,
  };

  const chosen = () => {
    const words = state.q.toLowerCase().split(/\s+/).filter((word) => word && word !== "-");
    const fits = (test) => words.every((word) =>
      word.startsWith("-") ? !test.words.includes(word.slice(1)) : test.words.includes(word));
    const rows = tests.filter((test) =>
      (!state.verdict.size || state.verdict.has(test.verdict)) && fits(test));
    const order = orders[state.sort.replace("-", "")];
    const sign = state.sort.startsWith("-") ? -1 : 1;
    return order ? rows.sort((a, b) => sign * order(a, b) || a.index - b.index) : rows;
  };

  // --- one test

  const tone = (verdict) => (known.has(verdict) ? verdict : "skipped");

  const bar = (test) => {
    const share = Math.max(0.6, (100 * test.s) / longest);
    const spans = test.bar && test.bar.length ? test.bar : [[tone(test.verdict), 0, 1000, ""]];
    const rects = spans.map(([kind, x, width, title]) => {
      const rect = svg("rect", {
        class: kind, x: (x / 1000) * share, width: (width / 1000) * share, height: 5,
      });
      if (title) {
        const name = svg("title", {});
        name.textContent = title;
        rect.append(name);
      }
      return rect;
    });
    return svg("svg", {
      class: "length", viewBox: "0 0 100 5", preserveAspectRatio: "none", "aria-hidden": "true",
    }, ...rects);
  };

  const evidence = (probes) => make("div", { class: "scroll" }, make("table", {},
    make("thead", {}, make("tr", {},
      ...["Probe", "Answer", "Detail"].map((name) => make("th", { scope: "col" }, name)),
      make("th", { scope: "col", class: "num" }, "Cost"))),
    make("tbody", {}, ...probes.map((probe) => make("tr", {},
      make("td", {}, probe.probe), make("td", {}, make("strong", {}, probe.answer)),
      make("td", { class: "long" }, probe.detail), make("td", { class: "num" }, probe.cost))))));

  const weighed = (candidates) => make("details", { class: "trace" },
    make("summary", {}, "Weighed"), make("div", { class: "scroll" }, make("table", {},
      make("thead", {}, make("tr", {}, make("th", { scope: "col" }, "Strategy"),
        ...["Probability", "Cost, s", "Seconds per cure", "Samples", "Score"]
          .map((name) => make("th", { scope: "col", class: "num" }, name)))),
      make("tbody", {}, ...candidates.map((c) => make("tr", {}, make("td", {}, c.strategy),
        ...[c.p, c.cost, c.index, c.samples, c.score]
          .map((value) => make("td", { class: "num" }, value || ""))))))));

  const diagnosis = (a) => [
    a.infrastructure ? "infrastructure" : "not infrastructure",
    a.severity && `severity ${a.severity}`, a.rule && `rule ${a.rule}`,
    a.confidence && `confidence ${a.confidence}`,
  ].filter(Boolean).map((part) => ` · ${part}`).join("");

  const steps = (a) => {
    const item = make("li", { class: `step ${a.kind}` }, make("p", { class: "what" },
      make("strong", {}, `Attempt ${a.number}`), ` ${a.outcome} `,
      make("span", { class: "meta" },
        [`in ${a.phase}`, a.time, a.browser, a.worker].filter(Boolean).join(" · ")),
      a.injected ? make("span", { class: "tag" }, `injected: ${a.injected}`) : ""));
    if (a.error_type) {
      const list = make("dl");
      const add = (name, ...value) => list.append(make("dt", {}, name), make("dd", {}, ...value));
      add("Diagnosis", make("strong", {}, a.error_type), diagnosis(a));
      add("Exception", a.exception ? make("code", {}, a.exception) : "",
        a.message ? make("pre", {}, a.message) : "");
      if (a.evidence) add("Evidence", evidence(a.evidence));
      if (a.reason) add("Decision", a.reason);
      item.append(list);
    }
    if (a.traceback) {
      item.append(make("details", { class: "trace" }, make("summary", {}, "Traceback"),
        make("pre", { tabindex: "0" }, a.traceback)));
    }
    if (!a.strategy) return [item];
    return [item, make("li", { class: "step recovery" }, make("p", { class: "what" },
      make("strong", {}, a.strategy), " ",
      make("span", { class: "meta" }, [a.level, a.recovery].filter(Boolean).join(" · "))),
    a.chosen ? make("p", {}, a.chosen) : "", a.candidates ? weighed(a.candidates) : "")];
  };

  const asText = (test) => [
    `${test.id}: ${test.verdict}`,
    ...(test.attempts || []).flatMap((a) => [
      `attempt ${a.number}: ${a.outcome} in ${a.phase}, ${a.time}`,
      a.error_type && `  ${a.error_type}${diagnosis(a)}`,
      a.message && `  ${a.exception || ""}: ${a.message}`,
      a.strategy && `  then ${a.strategy} (${a.level || ""}, ${a.recovery || ""})`,
      a.traceback,
    ]),
  ].filter(Boolean).join("\n");

  const copy = async (event, test) => {
    const button = event.currentTarget;
    try {
      await navigator.clipboard.writeText(asText(test));
      button.textContent = "Copied";
    } catch {
      button.textContent = "This browser does not let pages copy";
    }
  };

  const body = (test) => {
    const lost = test.verdict === "unrecovered" || test.verdict === "blocked";
    const first = (test.attempts || []).find((a) => a.error_type);
    const todo = test.todo || (lost && first && data.advice[first.error_type]);
    const tried = test.attempts || [];
    return make("div", { class: "body" },
      test.reason ? make("p", {}, make("strong", {}, "Reason. "), test.reason) : "",
      test.root ? make("p", {}, make("strong", {}, "Root error. "), test.root) : "",
      todo ? make("p", { class: "advice" }, make("strong", {}, "What to do. "), todo) : "",
      test.kept ? make("p", {}, "Kept from the run that was resumed.") : "",
      tried.length
        ? make("ol", { class: "steps" }, ...tried.flatMap(steps))
        : make("p", {}, test.verdict === "blocked"
          ? "This test was never started."
          : `One attempt, ${seconds(test.s)}, on worker ${test.worker}.`),
      make("div", { class: "tools" },
        make("a", { href: `#${new URLSearchParams({ test: test.id })}` }, "Link to this test"),
        make("button", { type: "button", onclick: (event) => copy(event, test) }, "Copy as text")));
  };

  const row = (test) => {
    const open = state.open.has(test.index);
    const [file, ...rest] = test.id.split("::");
    const button = make("button", {
      type: "button", class: "test", "aria-expanded": String(open), "data-index": test.index,
      onclick: () => toggle(test),
    }, make("b", {}, rest.length ? rest.join("::") : file),
      rest.length ? make("span", { class: "file" }, file) : "");
    const main = make("tr", { class: open ? "open" : "" },
      make("td", {}, make("span", { class: `badge ${tone(test.verdict)}` }, test.verdict)),
      make("td", {}, button),
      make("td", { class: "opt" }, test.worker),
      make("td", { class: "num opt" }, String(test.count)),
      make("td", { class: "num opt" }, test.recovery ? seconds(test.recovery) : ""),
      make("td", { class: "num time" }, make("div", {}, bar(test), seconds(test.s))));
    if (!open) return [main];
    return [main, make("tr", { class: "more" }, make("td", { colspan: "6" }, body(test)))];
  };

  // --- the page

  const pages = (rows) => Math.max(1, Math.ceil(rows.length / PAGE));

  const pager = (rows) => {
    const last = pages(rows);
    const step = (name, by) => {
      const button = make("button", { type: "button", onclick: () => {
        change({ page: state.page + by });
        get("status").scrollIntoView({ block: "nearest" });
        const same = [...get("pager").children].find((child) => child.textContent === name);
        if (same && !same.disabled) same.focus();
      } }, name);
      button.disabled = state.page + by < 1 || state.page + by > last;
      return button;
    };
    get("pager").hidden = last === 1;
    get("pager").replaceChildren(step("Previous", -1),
      make("span", {}, `Page ${state.page} of ${last}`), step("Next", 1));
  };

  const chips = () => get("chips").replaceChildren(
    ...data.verdicts.map((verdict) => [verdict, tests.filter((t) => t.verdict === verdict).length])
      .filter(([, count]) => count)
      .map(([verdict, count]) => make("button", {
        type: "button", class: tone(verdict), "data-verdict": verdict, "aria-pressed": "false",
        onclick: () => {
          if (!state.verdict.delete(verdict)) state.verdict.add(verdict);
          change({});
        },
      }, `${verdict} ${count.toLocaleString("en")}`)));

  const change = (values) => {
    Object.assign(state, { page: 1, link: null }, values);
    draw();
  };

  const draw = () => {
    const rows = chosen();
    state.page = Math.min(Math.max(1, state.page), pages(rows));
    const from = (state.page - 1) * PAGE;
    const shown = rows.slice(from, from + PAGE);
    get("rows").replaceChildren(...shown.flatMap(row));
    get("status").textContent = rows.length
      ? `${(from + 1).toLocaleString("en")} to ${(from + shown.length).toLocaleString("en")} of ` +
        `${rows.length.toLocaleString("en")} tests`
      : "No test fits this filter.";
    for (const button of document.querySelectorAll("#grid thead button")) {
      const head = button.parentElement;
      if (button.dataset.sort !== state.sort.replace("-", "")) head.removeAttribute("aria-sort");
      else head.setAttribute("aria-sort", state.sort.startsWith("-") ? "descending" : "ascending");
    }
    for (const chip of get("chips").children) {
      chip.setAttribute("aria-pressed", String(state.verdict.has(chip.dataset.verdict)));
    }
    pager(rows);
    remember();
  };

  const toggle = (test) => {
    if (!state.open.delete(test.index)) state.open.add(test.index);
    if (state.link === test) state.link = null;
    draw();
    focusRow(test.index);
  };

  const focusRow = (index) => {
    const button = get("rows").querySelector(`[data-index="${index}"]`);
    if (button) button.focus();
    return button;
  };

  // --- the address

  let timer = 0;
  let seen = location.hash;
  const remember = () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      // A link was followed meanwhile, and is about to be recalled.
      if (location.hash !== seen) return;
      const parts = new URLSearchParams();
      if (state.q) parts.set("q", state.q);
      if (state.verdict.size) parts.set("verdict", [...state.verdict].join(","));
      if (state.sort) parts.set("sort", state.sort);
      if (state.page > 1 && !state.link) parts.set("page", state.page);
      if (state.link) parts.set("test", state.link.id);
      const text = parts.toString();
      if (!text && !location.hash.includes("=")) return;
      history.replaceState(null, "", `#${text || "tests"}`);
      seen = location.hash;
    }, 250);
  };

  const recall = () => {
    seen = location.hash;
    if (!location.hash.includes("=")) return;
    const parts = new URLSearchParams(location.hash.slice(1));
    state.q = parts.get("q") || "";
    state.verdict = new Set((parts.get("verdict") || "").split(",").filter((v) => known.has(v)));
    state.sort = parts.get("sort") || "";
    state.page = Number.parseInt(parts.get("page"), 10) || 1;
    get("filter").value = state.q;
    state.link = chosen().find((test) => test.id === parts.get("test")) || null;
    if (state.link) {
      state.open.add(state.link.index);
      state.page = 1 + Math.floor(chosen().indexOf(state.link) / PAGE);
    }
    draw();
    ((state.link && focusRow(state.link.index)) || get("tests")).scrollIntoView();
  };

  // --- the keyboard

  get("filter").addEventListener("input", () => change({ q: get("filter").value }));
  get("controls").addEventListener("submit", (event) => event.preventDefault());
  get("grid").tHead.addEventListener("click", (event) => {
    const name = event.target.dataset.sort;
    if (!name) return;
    change({ sort: state.sort === name ? `-${name}` : state.sort === `-${name}` ? "" : name });
  });
  get("rows").addEventListener("keydown", (event) => {
    const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!by || !event.target.matches(".test")) return;
    const buttons = [...get("rows").querySelectorAll(".test")];
    const next = buttons[buttons.indexOf(event.target) + by];
    if (next) {
      event.preventDefault();
      next.focus();
    }
  });
  document.addEventListener("keydown", (event) => {
    const typing = event.target.matches("input, textarea, select");
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      get("filter").focus();
    }
  });
  addEventListener("hashchange", recall);
  addEventListener("beforeprint", () => {
    for (const details of document.querySelectorAll("details.card")) details.open = true;
  });

  get("note").remove();
  get("app").hidden = false;
  chips();
  draw();
  recall();
  document.documentElement.dataset.ready = "yes";
})();
