"use strict";
// What a model wrote is only ever set as text.
const $ = (id) => document.getElementById(id);
const say = (id, text) => { $(id).textContent = text; };
const percent = (share) => `${Math.round(100 * share)} %`;
const SVG = "http://www.w3.org/2000/svg";
const ACTIONS = { answer: "Answered", abstain: "Held back", escalate: "Asked further", unknown: "Not decided" };
const STATES = {
  calibrated: "calibrated", stale: "drifted: not certified", conflict: "labels disagree: not certified",
  insufficient_evidence: "too few labels to certify", unsupported: "no calibration",
};
let reply = null, known = null;

async function call(path, body) {
  const headers = { "Content-Type": "application/json" };
  if ($("key").value) headers.Authorization = `Bearer ${$("key").value}`;
  const options = body === undefined ? { headers } : { method: "POST", headers, body: JSON.stringify(body) };
  const response = await fetch(path, options);
  $("locked").hidden = $("locked").hidden && response.status !== 401;
  const value = await response.json();
  if (!response.ok) throw new Error(value.error ? value.error.message : response.statusText);
  return value;
}

async function busy(button, id, doing, work) {
  button.disabled = true;
  say(id, doing);
  try { say(id, await work()); } catch (error) { say(id, error.message); } finally { button.disabled = false; }
}

// Of `model` alone where it is one that a cascade asks later.
function ask(button, question, model = "") {
  if (!question) return;
  busy(button, "status", "Thinking …", async () => {
    const body = { model, messages: [{ role: "user", content: question }] };
    const value = await call("v1/chat/completions", body);
    reply = { ...value.metaconf, id: value.id, content: value.choices[0].message.content, question };
    show();
    await refresh();
    $("reply").focus();
    return "";
  });
}

function submit() {
  ask($("send"), $("question").value.trim());
}

function show() {
  const { decision, confidence } = reply, kept = reply.content !== reply.answer && reply.answer !== null;
  $("reply").hidden = false;
  say("action", ACTIONS[decision.action]);
  $("action").className = `action ${decision.action}`;
  say("answer", reply.content || "(no text)");
  say("reason", decision.reason);
  say("by", by());
  $("more").hidden = !kept;
  $("more").open = false;
  say("kept", kept ? reply.answer : "");
  $("why").hidden = reply.reflection === null || kept;
  say("reflection", reply.reflection ?? "");
  if (kept && reply.reflection !== null) say("kept", `${reply.answer}\n\n${reply.reflection}`);
  const steps = confidence.value === null ? 0 : Math.max(1, Math.ceil(confidence.value * 5 - 1e-9));
  [...$("bar").children].forEach((step, place) => { step.className = place < steps ? "on" : ""; });
  const sure = confidence.value === null ? "Confidence unknown" : `${percent(confidence.value)} sure`;
  const stated = confidence.stated === null ? sure : `${percent(confidence.stated)} sure`;
  say("number", stated === sure ? sure : `${sure}, recalibrated from ${percent(confidence.stated)}`);
  $("bar").setAttribute("aria-label", sure);
  for (const id of ["right", "wrong"]) $(id).setAttribute("aria-pressed", "false");
  $("check").hidden = reply.answer === null;
  say("judged", "");
}

// Which models were asked, and which one answered.
function by() {
  const { attempts, decision, calibration } = reply, held = calibration.id !== null && decision.action !== "answer";
  const stated = ({ model, confidence }) => `${model} (${confidence === null ? "no confidence" : percent(confidence)})`;
  return (held ? "" : `Answered by ${attempts.at(-1).model}. `)
    + (attempts.length > 1 ? `Asked: ${attempts.map(stated).join(", then ")}.` : "");
}

function dearest() {
  return known.models[known.asked.at(-1)];
}

function bin() {
  const stated = reply && reply.confidence.stated;
  if (stated === null || stated === undefined) return null;
  return known.reliability.find((one) => one.low <= stated && stated <= one.high) ?? null;
}

async function refresh() {
  try { known = await call("v1/calibration"); } catch (error) { say("status", error.message); return; }
  say("state", STATES[known.state]);
  $("trust").hidden = !known.reliability.length;
  $("tolerated").hidden = !known.offers.length;
  say("basis", `From ${known.n} labelled replies and ${known.feedback} that were judged here.`);
  const like = bin();
  say("often", like === null ? "" : `Of 100 replies this sure, about ${Math.round(100 * like.accuracy)} were right `
    + `(${Math.round(100 * like.accuracy_low)} to ${Math.round(100 * like.accuracy_high)}, n = ${like.n}).`);
  $("dearest").hidden = !reply || reply.attempts.at(-1).model === dearest();
  say("dearest", `Ask ${dearest()}`);
  draw(like);
  slide();
}

function slide() {
  if (!known || !known.offers.length) return;
  const offer = known.offers[$("alpha").value - 1];
  say("alpha-shown", percent(offer.alpha));
  $("alpha").setAttribute("aria-valuetext", percent(offer.alpha));
  const answering = offer.thresholds.flatMap((least, place) =>
    least === null ? [] : [`by ${known.models[place]} from a confidence of ${percent(least)}`]);
  const cost = offer.cost === null ? "" : ` On average a question costs ${percent(offer.cost)} of asking ${known.models.at(-1)} alone.`;
  say("offer", !answering.length ? "So little error cannot be certified with these labels: nothing would be answered."
    : `${percent(offer.coverage)} of questions would be answered, ${answering.join(", else ")}; `
      + `at most ${percent(offer.alpha)} of them wrong, with probability ${percent(1 - known.delta)}.${cost}`);
  say("would", reply && reply.calibration.id === known.id ? would(offer) : "");
}

// What another tolerated error would make of the reply that is shown.
function would(offer) {
  for (const [place, least] of offer.thresholds.entries()) {
    if (least === null) continue;
    const made = reply.attempts[known.asked.indexOf(place)];
    if (!made) return `${known.models[place]} would be asked.`;
    if (made.confidence !== null && made.confidence >= least) return `The reply of ${made.model} would be given.`;
  }
  return "This reply would be held back.";
}

function add(parent, name, attributes, text) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text) element.textContent = text;
  parent.append(element);
}

function draw(like) {
  const x = (share) => 30 + 200 * share, y = (share) => 210 - 200 * share;
  const diagram = $("diagram"), rows = $("bins");
  diagram.replaceChildren();
  rows.replaceChildren();
  add(diagram, "rect", { class: "frame", x: 30, y: 10, width: 200, height: 200 });
  add(diagram, "line", { class: "even", x1: x(0), y1: y(0), x2: x(1), y2: y(1) });
  for (const share of [0, 0.5, 1]) {
    add(diagram, "text", { x: x(share), y: 224, "text-anchor": "middle" }, percent(share));
    add(diagram, "text", { x: 25, y: y(share) + 3, "text-anchor": "end" }, percent(share));
  }
  add(diagram, "text", { x: x(0.5), y: 237, "text-anchor": "middle" }, "confidence");
  const most = Math.max(...known.reliability.map((one) => one.n));
  for (const one of known.reliability) {
    const cx = x(one.confidence), radius = 2 + 4 * Math.sqrt(one.n / most);
    add(diagram, "line", { class: "span", x1: cx, x2: cx, y1: y(one.accuracy_low), y2: y(one.accuracy_high) });
    add(diagram, "circle", { class: "dot", cx, cy: y(one.accuracy), r: radius });
    if (one === like) add(diagram, "circle", { class: "here", cx, cy: y(one.accuracy), r: radius + 4 });
    const row = rows.insertRow();
    const head = document.createElement("th");
    head.scope = "row";
    head.textContent = percent(one.confidence);
    row.append(head);
    for (const text of [one.n, percent(one.accuracy)]) row.insertCell().textContent = text;
  }
  const total = known.reliability.reduce((sum, one) => sum + one.n, 0);
  diagram.setAttribute("aria-label", `Reliability diagram of ${total} labelled replies; the numbers are in the table below.`);
}

function judge(correct) {
  const button = $(correct ? "right" : "wrong");
  busy(button, "judged", "Keeping …", async () => {
    await call("feedback", { id: reply.id, correctness: correct });
    $("right").setAttribute("aria-pressed", String(correct));
    $("wrong").setAttribute("aria-pressed", String(!correct));
    await refresh();
    return "Kept. The diagram counts it.";
  });
}

function check() {
  busy($("check"), "judged", "Checking …", async () => {
    const found = await call("verify", { question: reply.question, answer: reply.answer });
    return found.confidence === null ? "Asked again, the model does not stand by this answer."
      : `Asked again about this answer, the model is ${percent(found.confidence)} sure.`;
  });
}

$("ask").addEventListener("submit", (event) => { event.preventDefault(); submit(); });
$("question").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); submit(); }
});
$("right").addEventListener("click", () => judge(true));
$("wrong").addEventListener("click", () => judge(false));
$("check").addEventListener("click", check);
$("dearest").addEventListener("click", () => ask($("dearest"), reply.question, dearest()));
$("alpha").addEventListener("input", slide);
(async () => {
  const health = await call("healthz");
  say("model", health.model);
  say("state", STATES[health.calibration.state]);
  document.title = `MetaConf: ${health.model}`;
  await refresh();
  if (known && known.alpha) $("alpha").value = Math.round(100 * known.alpha);
  slide();
  document.documentElement.dataset.ready = "";
})();
