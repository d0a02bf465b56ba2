// The replies as columns: unpacking, filtering, ordering, CSV. Nothing here touches the page.

const OUTCOMES = {
  right: ["Right", "✓"], partly: ["Partly right", "◐"], wrong: ["Wrong", "✗"],
  ungraded: ["Not graded", "–"],
};
const SORTS = {
  overconfident: "Overconfident first", underconfident: "Underconfident first",
  high: "Most confident first", low: "Least confident first", file: "As in the file",
};
const SHARED = ["method", "question_id", "prompt", "family", "cause", "truth", "why", "judged",
  "problems"];

function outcomeOf(correctness) {
  if (Number.isNaN(correctness)) return "ungraded";
  return correctness >= 1 ? "right" : correctness > 0 ? "partly" : "wrong";
}

class Store {
  // `unpack(n)` gives block n: the texts of `head.chunk` replies. It is called once a block.
  constructor(head, unpack) {
    this.count = head.count;
    this.chunk = head.chunk;
    this.names = head.names;
    this.strings = head.strings;
    this.unpack = unpack;
    this.blocks = [];
    this.columns = {};
    for (const name of ["confidence", "correctness"]) {
      this.columns[name] = Float64Array.from(head.columns[name], (v) => v ?? NaN);
    }
    for (const name of SHARED) {
      this.columns[name] = Int32Array.from(head.columns[name], (v) => v ?? -1);
    }
    this.outcomes = Array.from(this.columns.correctness, outcomeOf);
    this.haystacks = new Array(this.count);
    this.orders = {};
  }

  // A string of reply i, or null. Answer and reflection may be ranges of the text.
  get(name, i) {
    if (SHARED.includes(name)) return this.strings[this.columns[name][i]] ?? null;
    if (name in this.columns) return this.columns[name][i];
    const value = this.raw(name, i);
    return Array.isArray(value) ? this.raw("text", i).slice(value[0], value[1]) : value;
  }

  raw(name, i) {
    const n = Math.floor(i / this.chunk);
    return (this.blocks[n] ??= this.unpack(n))[name][i % this.chunk];
  }

  confidence(i) { return this.columns.confidence[i]; }

  // "0.93", or a dash: never a zero for what was not stated.
  shown(i) { const c = this.confidence(i); return Number.isNaN(c) ? "–" : c.toFixed(2); }

  methodName(key) { return Object.hasOwn(this.names, key) ? this.names[key] : key; }

  // Distinct values of a shared column with their number, in order of first appearance.
  values(name) {
    const counts = new Map();
    for (const place of this.columns[name]) counts.set(place, (counts.get(place) ?? 0) + 1);
    counts.delete(-1);
    return [...counts].map(([place, count]) => [this.strings[place], count]);
  }

  haystack(i) {
    return this.haystacks[i] ??= ["prompt", "text", "answer", "reflection", "truth", "why", "judged"]
      .filter((name) => SHARED.includes(name) || !Array.isArray(this.raw(name, i)))
      .map((name) => this.get(name, i) ?? "").join("\n").toLowerCase();
  }

  // Replies that pass, in the order asked for. Two passes: numbers first, text where they pass.
  filter(state) {
    const words = (state.q.toLowerCase().match(/"[^"]+"|\S+/g) ?? [])
      .map((word) => word.replace(/^"(.+)"$/, "$1"));
    const places = ["method", "family", "cause"].filter((name) => state[name])
      .map((name) => [this.columns[name], this.strings.indexOf(state[name])]);
    const bounded = state.min !== "" || state.max !== "";
    const low = state.min === "" ? -Infinity : Number(state.min);
    const high = state.max === "" ? Infinity : Number(state.max);
    const passes = (i) => {
      for (const [column, place] of places) if (column[i] !== place) return false;
      if (state.outcome && this.outcomes[i] !== state.outcome) return false;
      if (bounded && !(this.confidence(i) >= low && this.confidence(i) <= high)) return false;
      if (state.format === "sound" && this.columns.problems[i] >= 0) return false;
      if (state.format === "broken" && this.columns.problems[i] < 0) return false;
      if (state.format === "silent" && !Number.isNaN(this.confidence(i))) return false;
      return words.length === 0 || words.every((word) => this.haystack(i).includes(word));
    };
    return this.order(state.sort).filter(passes);
  }

  order(sort) { return this.orders[sort] ??= this.sorted(sort); }

  // Rows without the numbers that an order needs come last.
  sorted(sort) {
    const { confidence, correctness } = this.columns;
    const keys = {
      overconfident: (i) => correctness[i] - confidence[i],
      underconfident: (i) => confidence[i] - correctness[i],
      high: (i) => -confidence[i], low: (i) => confidence[i], file: (i) => i,
    };
    const ties = new Map(); // confidences are heavily tied: sort the distinct keys only
    for (let i = 0; i < this.count; i++) {
      const value = keys[sort](i), key = Number.isNaN(value) ? Infinity : value;
      if (ties.has(key)) ties.get(key).push(i); else ties.set(key, [i]);
    }
    const order = new Uint32Array(this.count);
    let place = 0;
    for (const key of Float64Array.from(ties.keys()).sort()) {
      for (const i of ties.get(key)) order[place++] = i;
    }
    return order;
  }

  // [replies, mean confidence, share right]: each mean over the rows where its number is known.
  summary(rows) {
    const mean = (column) => {
      let sum = 0, known = 0;
      for (const i of rows) if (!Number.isNaN(column[i])) { sum += column[i]; known += 1; }
      return known ? sum / known : NaN;
    };
    return [rows.length, mean(this.columns.confidence), mean(this.columns.correctness)];
  }

  csv(rows) {
    const names = ["method", "question_id", "family", "cause", "prompt", "answer", "truth",
      "confidence", "correctness", "reflection", "why", "judged", "problems", "text"];
    const lines = [names.join(",")];
    for (const i of rows) {
      lines.push(names.map((name) => csvField(this.get(name, i))).join(","));
    }
    return lines.join("\r\n") + "\r\n";
  }
}

// A spreadsheet runs a cell that starts with = + - @ (also full-width, also after blanks). Such
// text gets an apostrophe; numbers keep their sign and stay numbers.
function csvField(value) {
  if (value === null || Number.isNaN(value)) return "";
  let text = String(value);
  const numeric = /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/.test(text);
  if (!numeric && /^[\s\u0000-\u001f\u200b\ufeff]*[=+\-@＝＋－＠]/u.test(text)) text = "'" + text;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
