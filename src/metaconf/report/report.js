// The reply browser. Everything a model wrote enters the page through textContent.

(() => {
  const ROW = 60; // pixels, as in report.css
  const MOST_ROWS = 250000; // browsers limit an element's height
  const DEFAULTS = {
    q: "", method: "", outcome: "", family: "", cause: "", format: "", min: "", max: "",
    sort: "overconfident",
  };
  const at = (id) => document.getElementById(id);
  const parse = (script) => { const value = JSON.parse(script.textContent); script.remove(); return value; };
  const blocks = [...document.querySelectorAll(".block")];
  const store = new Store(parse(at("head")), (n) => parse(blocks[n]));
  const form = at("filters"), list = at("list"), rows = at("rows"), detail = at("detail");
  let found = [], chosen = 0;

  function make(tag, className, ...children) {
    const element = document.createElement(tag);
    if (className) element.className = className;
    element.append(...children); // strings become text nodes
    return element;
  }

  function options(name, entries) {
    form.elements[name].replaceChildren(...entries.map(([value, label]) => {
      const option = make("option", "", label);
      option.value = value;
      return option;
    }));
  }

  const counted = (name, show = (value) => value) =>
    store.values(name).map(([value, count]) => [value, `${show(value)} (${count.toLocaleString("en")})`]);

  function fillForm() {
    options("method", [["", "All"], ...counted("method", (key) => store.methodName(key))]);
    options("family", [["", "All"], ...counted("family")]);
    options("cause", [["", "All"], ...counted("cause")]);
    options("outcome", [["", "All"], ...Object.entries(OUTCOMES).map(([k, [name]]) => [k, name])]);
    options("format", [["", "All"], ["sound", "Well-formed"], ["broken", "With problems"],
      ["silent", "No confidence stated"]]);
    options("sort", Object.entries(SORTS));
  }

  const state = () => Object.fromEntries(Object.keys(DEFAULTS).map((n) => [n, form.elements[n].value]));

  function setState(values) {
    for (const [name, initial] of Object.entries(DEFAULTS)) {
      form.elements[name].value = values.get(name) ?? initial;
      if (form.elements[name].value === "" && initial) form.elements[name].value = initial;
    }
  }

  // The address holds the view, so that a filtered view or a reply can be linked to.
  function remember() {
    const changed = Object.entries(state()).filter(([name, value]) => value !== DEFAULTS[name]);
    const hash = new URLSearchParams(changed);
    if (chosen > 0) hash.set("reply", found[chosen] + 1);
    const address = location.href.replace(/#.*/s, "");
    history.replaceState(null, "", hash.size ? `${address}#${hash}` : address);
  }

  function readAddress() {
    const hash = location.hash.slice(1);
    if (!hash.includes("=")) return false;
    const values = new URLSearchParams(hash);
    setState(values);
    apply(false);
    const place = found.indexOf(Number(values.get("reply")) - 1);
    if (place > 0) choose(place);
    at("replies").scrollIntoView();
    return true;
  }

  function apply(write = true) {
    const start = performance.now();
    found = store.filter(state());
    chosen = 0;
    list.scrollTop = 0;
    rows.style.height = `${Math.min(found.length, MOST_ROWS) * ROW}px`;
    count();
    render();
    show();
    if (write) remember();
    at("count").dataset.milliseconds = (performance.now() - start).toFixed(1);
  }

  function count() {
    const [number, confidence, right] = store.summary(found);
    const share = (value) => (Number.isNaN(value) ? "–" : `${(100 * value).toFixed(1)} %`);
    const numbers = number ? ` · mean confidence ${share(confidence)}, right ${share(right)}` : "";
    const more = number > MOST_ROWS ? ` · the first ${MOST_ROWS.toLocaleString("en")} are listed` : "";
    at("count").textContent = `${number.toLocaleString("en")} of `
      + `${store.count.toLocaleString("en")} replies${numbers}${more}`;
  }

  function render() {
    const first = Math.max(0, Math.floor(list.scrollTop / ROW) - 4);
    const last = Math.min(found.length, MOST_ROWS, first + Math.ceil(list.clientHeight / ROW) + 9);
    const drawn = [];
    for (let place = first; place < last; place++) drawn.push(option(place));
    rows.replaceChildren(...drawn);
    if (!found.length) rows.append(make("p", "none", "No reply passes these filters."));
    if (found.length) list.setAttribute("aria-activedescendant", `row-${chosen}`);
    else list.removeAttribute("aria-activedescendant");
  }

  function option(place) {
    const i = found[place];
    const row = make("div", "row",
      mark(i),
      make("div", "gist",
        make("div", "prompt", store.get("prompt", i) ?? "–"),
        make("div", "reply", store.get("answer", i) ?? store.get("text", i)?.slice(0, 200) ?? "–")),
      make("div", "where", store.methodName(store.get("method", i) ?? "–")),
      confidence(i));
    row.id = `row-${place}`;
    row.dataset.place = place;
    row.setAttribute("role", "option");
    row.setAttribute("aria-selected", String(place === chosen));
    row.setAttribute("aria-setsize", found.length);
    row.setAttribute("aria-posinset", place + 1);
    row.style.transform = `translateY(${place * ROW}px)`;
    return row;
  }

  function mark(i) {
    const [name, sign] = OUTCOMES[store.outcomes[i]];
    const glyph = make("span", "", sign);
    glyph.setAttribute("aria-hidden", "true");
    return make("div", `mark ${store.outcomes[i]}`, glyph, make("span", "hidden", name));
  }

  function confidence(i) {
    const bar = make("span", `fill ${store.outcomes[i]}`);
    bar.style.width = `${100 * Math.min(1, Math.max(0, store.confidence(i) || 0))}%`;
    return make("div", "confidence", make("span", "hidden", "confidence "),
      make("span", "", store.shown(i)), make("span", "track", bar));
  }

  function choose(place, scroll = true) {
    if (!found.length) return;
    chosen = Math.min(Math.max(0, place), Math.min(found.length, MOST_ROWS) - 1);
    const top = chosen * ROW;
    if (scroll && top < list.scrollTop) list.scrollTop = top;
    if (scroll && top + ROW > list.scrollTop + list.clientHeight) {
      list.scrollTop = top + ROW - list.clientHeight;
    }
    render();
    show();
    remember();
  }

  function show() {
    if (!found.length) return detail.replaceChildren();
    const i = found[chosen], name = OUTCOMES[store.outcomes[i]][0];
    const correctness = store.columns.correctness[i];
    const grade = store.outcomes[i] === "partly" ? `${name} (${correctness.toFixed(2)})` : name;
    detail.replaceChildren(
      make("h3", "asked", store.get("prompt", i) ?? "–"),
      make("div", "pair", part("Answer", store.get("answer", i), "none found"),
        part("Truth", store.get("truth", i), "not recorded")),
      scale(i, grade),
      part("Self-reflection", store.get("reflection", i), "none found"),
      ...optional("Reason of the grade", store.get("why", i)),
      ...optional("The judge on the reflection", store.get("judged", i)),
      ...optional("Problems with the format", store.get("problems", i)),
      raw(i), ...siblings(i), origin(i));
    detail.scrollTop = 0;
  }

  function part(name, text, missing) {
    const body = text === null ? make("p", "reason", `– ${missing}`) : make("p", "said", text);
    return make("div", "part", make("h4", "", name), body);
  }

  const optional = (name, text) => (text ? [part(name, text)] : []);

  function scale(i, grade) {
    const c = store.confidence(i), y = store.columns.correctness[i];
    const track = make("div", "scale");
    track.setAttribute("aria-hidden", "true");
    for (const [value, className] of [[y, "truth"], [c, `claim ${store.outcomes[i]}`]]) {
      if (Number.isNaN(value)) continue;
      const point = make("span", className);
      point.style.left = `${100 * Math.min(1, Math.max(0, value))}%`;
      track.append(point);
    }
    const claim = Number.isNaN(c) ? "no confidence stated" : `confidence ${store.shown(i)}`;
    return make("div", "part", make("h4", "", "Confidence beside the truth"),
      make("p", "beside", `${grade}, ${claim}`), track,
      make("p", "ends", make("span", "", "0, wrong"), make("span", "", "1, right")));
  }

  function raw(i) {
    const box = make("details", "part", make("summary", "", "Reply as written"),
      make("pre", "", store.get("text", i) ?? "–"));
    box.open = store.columns.problems[i] >= 0;
    return box;
  }

  // What the other methods (and other samples) said to the same question: before and after.
  function siblings(i) {
    const question = store.columns.question_id[i];
    if (question < 0) return [];
    const same = [];
    store.columns.question_id.forEach((q, j) => { if (q === question && j !== i) same.push(j); });
    if (!same.length) return [];
    const items = same.slice(0, 20).map((j) => {
      const button = make("button", "sibling", mark(j),
        make("span", "where", store.methodName(store.get("method", j) ?? "–")),
        make("span", "reply", store.get("answer", j) ?? "–"), confidence(j));
      button.type = "button";
      button.addEventListener("click", () => jump(j));
      return make("li", "", button);
    });
    return [make("div", "part", make("h4", "", "Other replies to this question"),
      make("ul", "siblings", ...items))];
  }

  // Opens a reply by its row; filters that hide it are cleared.
  function jump(row) {
    let place = found.indexOf(row);
    if (place < 0) {
      setState(new URLSearchParams());
      apply();
      place = found.indexOf(row);
    }
    choose(place);
    detail.focus({ preventScroll: true });
  }

  function origin(i) {
    const facts = [["Family", store.get("family", i)], ["Cause of uncertainty", store.get("cause", i)],
      ["Question", store.get("question_id", i)], ["replies.jsonl", `line ${i + 1}`]];
    const known = facts.filter(([, value]) => value);
    return make("dl", "origin", ...known.map(([k, v]) => make("div", "", make("dt", "", k), make("dd", "", v))));
  }

  function download() {
    const blob = new Blob(["\ufeff", store.csv(found)], { type: "text/csv" });
    const link = make("a", "");
    link.href = URL.createObjectURL(blob);
    link.download = "replies.csv";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }

  function keys(event) {
    const page = Math.max(1, Math.floor(list.clientHeight / ROW) - 1);
    const moves = { ArrowDown: chosen + 1, ArrowUp: chosen - 1, PageDown: chosen + page,
      PageUp: chosen - page, Home: 0, End: found.length - 1 };
    if (event.key in moves) choose(moves[event.key]);
    else if (event.key === "Enter") detail.focus();
    else return;
    event.preventDefault();
  }

  // Search text is prepared while nobody waits, so that the first search is quick as well.
  function prepare(from = 0) {
    const until = Math.min(store.count, from + 2000);
    for (let i = from; i < until; i++) store.haystack(i);
    if (until < store.count) setTimeout(prepare, 5, until);
    else document.documentElement.dataset.prepared = performance.now().toFixed(0);
  }

  let waiting = 0;
  form.addEventListener("input", (event) => {
    clearTimeout(waiting);
    waiting = setTimeout(apply, event.target.name === "q" ? 120 : 0);
  });
  form.addEventListener("submit", (event) => { event.preventDefault(); apply(); });
  at("clear").addEventListener("click", () => { setState(new URLSearchParams()); apply(); });
  at("csv").addEventListener("click", download);
  list.addEventListener("scroll", render);
  list.addEventListener("keydown", keys);
  list.addEventListener("click", (event) => {
    const row = event.target.closest(".row");
    if (!row) return;
    choose(Number(row.dataset.place), false);
    if (detail.getBoundingClientRect().top > list.getBoundingClientRect().top + 50) detail.focus();
  });
  detail.addEventListener("keydown", (event) => { if (event.key === "Escape") list.focus(); });
  addEventListener("hashchange", readAddress);
  addEventListener("resize", render);

  for (const id of ["filters", "status", "browser"]) at(id).hidden = false;
  fillForm();
  setState(new URLSearchParams());
  if (!readAddress()) apply(false);
  document.documentElement.dataset.ready = performance.now().toFixed(0);
  setTimeout(prepare, 200);
})();
