"use strict";
// The script of a timeline. The data is a table with a column for each property of the events; the
// canvas shows what is in view and nothing else. Where more is in view than can be told apart, it
// shows how much there is.
(() => {
  const began = performance.now();
  const byId = (id) => document.getElementById(id);
  const data = JSON.parse(byId("data").textContent);
  const count = data.at.length;

  // ---- Columns -------------------------------------------------------------------------------

  const at = new Float64Array(count);
  const cause = new Int32Array(count);
  const arrives = new Float64Array(count);
  for (let i = 0, now = 0; i < count; i++) {
    now += data.at[i];
    at[i] = now;
    cause[i] = data.cause[i] === 0 ? -1 : i - data.cause[i];
    arrives[i] = now + data.takes[i];
  }
  const lane = Uint32Array.from(data.lane);
  const kind = Uint8Array.from(data.kind);
  const target = Int32Array.from(data.to);
  const lanes = [];
  data.nodes.forEach((name, node) => {
    for (let worker = 0; worker < data.workers[node]; worker++) {
      lanes.push({ node, worker, name: data.workers[node] > 1 ? `${name}/${worker}` : name });
    }
  });

  // How many events of its lane and instant are before an event: they are drawn below each other.
  const slot = new Uint16Array(count);
  {
    const last = new Map();
    for (let i = 0; i < count; i++) {
      const before = last.get(lane[i]);
      if (before && before.at === at[i]) slot[i] = before.slot += 1;
      else last.set(lane[i], { at: at[i], slot: 0 });
    }
  }

  // What comes of each event: `effects[effectsAt[i] .. effectsAt[i + 1]]`.
  const effectsAt = new Uint32Array(count + 2);
  const effects = new Uint32Array(count);
  for (let i = 0; i < count; i++) if (cause[i] >= 0) effectsAt[cause[i] + 2]++;
  for (let i = 0; i < count; i++) effectsAt[i + 2] += effectsAt[i + 1];
  for (let i = 0; i < count; i++) if (cause[i] >= 0) effects[effectsAt[cause[i] + 1]++] = i;

  // What each task has shown, and after which event.
  const shown = new Map();
  for (let i = 0; i < data.states.length; i += 3) {
    const [after, task, text] = data.states.slice(i, i + 3);
    if (!shown.has(task)) shown.set(task, []);
    shown.get(task).push({ after, text });
  }

  // The longest time that anything travels: as far before the view something in it may begin.
  let longest = 0;
  for (let i = 0; i < count; i++) if (target[i] >= 0) longest = Math.max(longest, arrives[i] - at[i]);

  const ROLE = { Input: 0, Output: 1, Travel: 2, Verdict: 3, Fault: 4, Loss: 5 };
  const roleOfKind = data.roles.map((role) => ROLE[role]);
  const TIMEOUT = data.kinds.indexOf("Timeout");
  const REPORT = data.kinds.indexOf("Report");
  const roleOf = (i) => roleOfKind[kind[i]];

  // ---- State of the page ---------------------------------------------------------------------

  const canvas = byId("canvas");
  const probed = location.hash === "#probe";
  const pen = canvas.getContext("2d", { willReadFrequently: probed });
  const tip = byId("tip");
  const LEFT = 150, TOP = 26;
  const first = count > 0 ? at[0] : 0;
  const end = count > 0 ? Math.max(at[count - 1], first + 1) : 1;
  const view = { from: first, to: end, scroll: 0 };
  let chosen = -1, hovered = -1, matches = null, width = 0, height = 0, laneHeight = 40, asked = false;

  const colours = {};
  function readColours() {
    const style = getComputedStyle(document.documentElement);
    for (const name of ["back", "panel", "line", "text", "faint", "input", "output", "travel", "loss",
      "verdict", "fault", "timer", "chosen"]) colours[name] = style.getPropertyValue(`--${name}`).trim();
  }
  const colourOfRole = () => [colours.input, colours.output, colours.travel, colours.verdict, colours.fault,
    colours.loss];
  const colourOf = (i, byRole) => kind[i] === TIMEOUT ? colours.timer : byRole[roleOf(i)];

  // ---- Where things are ----------------------------------------------------------------------

  const scale = () => (width - LEFT - 10) / (view.to - view.from);
  const xOf = (time) => LEFT + (time - view.from) * scale();
  const timeOf = (x) => view.from + (x - LEFT) / scale();
  const laneTop = (number) => TOP + number * laneHeight - view.scroll;
  const yOf = (i) => laneTop(lane[i]) + laneHeight * 0.3 + Math.min(slot[i], 5) * Math.min(5, laneHeight * 0.1);
  const yOfTarget = (number) => laneTop(number) + laneHeight * 0.3;

  // The first event at or after a time.
  function lowerBound(time) {
    let low = 0, high = count;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (at[middle] < time) low = middle + 1; else high = middle;
    }
    return low;
  }

  function timeText(nanos, digits = 9) {
    return `${(nanos / 1e9).toFixed(digits)} s`;
  }

  // ---- Drawing -------------------------------------------------------------------------------

  const EACH_MAX = 4000;   // Events that are drawn one by one.
  const SHAPED_MAX = 1000; // Events that are drawn as the legend has them, and not as squares.
  const ARROWS_MAX = 2500; // Arrows at a time.

  function resize() {
    const ratio = window.devicePixelRatio || 1;
    width = canvas.clientWidth;
    height = canvas.clientHeight;
    canvas.width = Math.max(1, Math.round(width * ratio));
    canvas.height = Math.max(1, Math.round(height * ratio));
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    laneHeight = Math.min(72, Math.max(18, (height - TOP) / Math.max(1, lanes.length)));
    clampScroll();
    redraw();
  }

  function clampScroll() {
    const most = Math.max(0, TOP + lanes.length * laneHeight - height);
    view.scroll = Math.min(most, Math.max(0, view.scroll));
  }

  function redraw() {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => { asked = false; draw(); });
  }

  function draw() {
    const byRole = colourOfRole();
    pen.fillStyle = colours.back;
    pen.fillRect(0, 0, width, height);
    drawLanes();
    const from = lowerBound(view.from), to = lowerBound(view.to + Number.EPSILON * view.to + 1e-9);
    drawArrows(lowerBound(view.from - longest), to);
    if (to - from <= EACH_MAX) {
      const mark = to - from > SHAPED_MAX ? drawSquare : drawMark;
      for (let i = from; i < to; i++) mark(i, colourOf(i, byRole));
    } else {
      drawCrowd(from, to, byRole);
    }
    drawFaults(from, to);
    if (matches) drawMatches(from, to);
    drawChain();
    if (data.failure) drawFailure(data.failure.index);
    if (chosen >= 0) ring(chosen, colours.chosen, 8);
    drawNames();
    drawAxis();
  }

  function drawLanes() {
    for (let number = 0; number < lanes.length; number++) {
      const top = laneTop(number);
      if (top > height || top + laneHeight < TOP) continue;
      pen.fillStyle = lanes[number].node % 2 ? colours.panel : colours.back;
      pen.fillRect(LEFT, top, width - LEFT, laneHeight);
      pen.fillStyle = colours.line;
      pen.fillRect(LEFT, Math.round(top + laneHeight * 0.3), width - LEFT, 1);
    }
  }

  function drawNames() {
    pen.fillStyle = colours.panel;
    pen.fillRect(0, 0, LEFT, height);
    pen.fillStyle = colours.text;
    pen.textBaseline = "middle";
    pen.textAlign = "left";
    pen.font = "12px system-ui, sans-serif";
    for (let number = 0; number < lanes.length; number++) {
      const middle = laneTop(number) + laneHeight * 0.3;
      if (middle < TOP - 8 || middle > height + 8) continue;
      pen.fillText(lanes[number].name, 8, middle, LEFT - 16);
    }
  }

  function drawAxis() {
    pen.fillStyle = colours.panel;
    pen.fillRect(0, 0, width, TOP);
    pen.fillStyle = colours.line;
    pen.fillRect(0, TOP - 1, width, 1);
    const wanted = (view.to - view.from) / Math.max(1, (width - LEFT) / 130);
    const power = 10 ** Math.floor(Math.log10(Math.max(wanted, 1)));
    const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= wanted) || power * 10;
    const digits = Math.min(9, Math.max(0, 9 - Math.floor(Math.log10(step))));
    pen.fillStyle = colours.faint;
    pen.textBaseline = "middle";
    pen.textAlign = "left";
    pen.font = "11px system-ui, sans-serif";
    for (let time = Math.ceil(view.from / step) * step; time <= view.to; time += step) {
      const x = xOf(time);
      pen.fillRect(x, TOP - 6, 1, 6);
      pen.fillText(timeText(time, digits), x + 3, TOP / 2);
    }
  }

  function drawArrows(from, to) {
    let inView = 0;
    for (let i = from; i < to; i++) {
      if (target[i] >= 0 && (arrives[i] >= view.from || roleOf(i) === ROLE.Loss && at[i] >= view.from)) inView++;
    }
    const every = Math.max(1, Math.ceil(inView / ARROWS_MAX));
    pen.lineWidth = 1;
    pen.globalAlpha = every > 1 ? 0.35 : 0.8;
    pen.strokeStyle = colours.travel;
    pen.fillStyle = colours.travel;
    pen.beginPath();
    const heads = [], lost = [];
    let seen = 0;
    for (let i = from; i < to; i++) {
      if (target[i] < 0) continue;
      if (roleOf(i) === ROLE.Loss) {
        if (at[i] >= view.from) lost.push(i);
        continue;
      }
      if (arrives[i] < view.from || seen++ % every !== 0) continue;
      const x = xOf(at[i]), y = yOf(i), toX = xOf(arrives[i]), toY = yOfTarget(target[i]);
      pen.moveTo(x, y);
      pen.lineTo(toX, toY);
      if (every === 1) heads.push([x, y, toX, toY]);
    }
    pen.stroke();
    pen.beginPath();
    for (const [x, y, toX, toY] of heads) {
      const angle = Math.atan2(toY - y, toX - x);
      pen.moveTo(toX, toY);
      pen.lineTo(toX - 7 * Math.cos(angle - 0.4), toY - 7 * Math.sin(angle - 0.4));
      pen.lineTo(toX - 7 * Math.cos(angle + 0.4), toY - 7 * Math.sin(angle + 0.4));
      pen.closePath();
    }
    pen.fill();
    drawLost(lost);
    pen.globalAlpha = 1;
  }

  // The start of a way that nothing has come to the end of.
  function drawLost(lost) {
    const every = Math.max(1, Math.ceil(lost.length / ARROWS_MAX));
    pen.strokeStyle = colours.loss;
    pen.setLineDash([3, 3]);
    pen.beginPath();
    for (let n = 0; n < lost.length; n += every) {
      const i = lost[n];
      if (target[i] === lane[i]) continue;
      const x = xOf(at[i]), y = yOf(i), toY = yOfTarget(target[i]);
      pen.moveTo(x, y);
      pen.lineTo(x + 14, y + (toY - y) * 0.35);
    }
    pen.stroke();
    pen.setLineDash([]);
  }

  function drawSquare(i, colour) {
    const size = roleOf(i) === ROLE.Travel ? 2 : 5;
    pen.fillStyle = colour;
    pen.fillRect(Math.round(xOf(at[i]) - size / 2), Math.round(yOf(i) - size / 2), size, size);
  }

  function drawMark(i, colour) {
    const x = xOf(at[i]), y = yOf(i), role = roleOf(i);
    if (y < TOP || y > height) return;
    pen.fillStyle = colour;
    pen.strokeStyle = colour;
    pen.beginPath();
    if (kind[i] === TIMEOUT) {
      pen.moveTo(x, y - 5); pen.lineTo(x + 5, y); pen.lineTo(x, y + 5); pen.lineTo(x - 5, y); pen.fill();
    } else if (role === ROLE.Input) {
      pen.arc(x, y, 4, 0, 7); pen.fill();
    } else if (kind[i] === REPORT) {
      pen.rect(x - 4, y - 4, 8, 8); pen.fill();
      pen.strokeStyle = colours.text; pen.lineWidth = 1; pen.stroke();
    } else if (role === ROLE.Output) {
      pen.rect(x - 2.5, y - 2.5, 5, 5); pen.fill();
    } else if (role === ROLE.Loss) {
      pen.lineWidth = 2;
      pen.moveTo(x - 4, y - 4); pen.lineTo(x + 4, y + 4); pen.moveTo(x + 4, y - 4); pen.lineTo(x - 4, y + 4);
      pen.stroke(); pen.lineWidth = 1;
    } else if (role === ROLE.Travel) {
      pen.arc(x, y, 2, 0, 7); pen.fill();
    } else {
      pen.moveTo(x, y - 5); pen.lineTo(x + 5, y + 4); pen.lineTo(x - 5, y + 4); pen.fill();
    }
  }

  // How many events there are, where they cannot be told apart: the higher, the more.
  function drawCrowd(from, to, byRole) {
    const columns = Math.max(1, Math.ceil(width - LEFT));
    const many = new Uint32Array(columns * lanes.length);
    const worst = new Uint8Array(columns * lanes.length);
    const factor = scale();
    for (let i = from; i < to; i++) {
      const column = Math.min(columns - 1, Math.floor((at[i] - view.from) * factor));
      const cell = lane[i] * columns + column;
      many[cell]++;
      const role = roleOf(i) + 1;
      if (role > worst[cell]) worst[cell] = role;
    }
    for (let number = 0; number < lanes.length; number++) {
      const top = laneTop(number), line = top + laneHeight * 0.3;
      if (top > height || top + laneHeight < TOP) continue;
      for (let column = 0; column < columns; column++) {
        const cell = number * columns + column;
        if (many[cell] === 0) continue;
        const tall = Math.min(laneHeight * 0.6, 2 + 3 * Math.log2(1 + many[cell]));
        pen.fillStyle = byRole[worst[cell] - 1];
        pen.fillRect(LEFT + column, line - tall * 0.35, 1, tall);
      }
    }
  }

  function drawFaults(from, to) {
    pen.globalAlpha = 0.6;
    let last = -1;
    for (let i = from; i < to; i++) {
      if (roleOf(i) !== ROLE.Fault) continue;
      const x = Math.round(xOf(at[i]));
      const number = lane[i] * 1e6 + x;
      if (number === last) continue;
      last = number;
      pen.fillStyle = colours.fault;
      pen.fillRect(x, laneTop(lane[i]), 1, laneHeight);
    }
    pen.globalAlpha = 1;
  }

  function drawMatches(from, to) {
    let drawn = 0, lastX = -9;
    for (let i = from; i < to && drawn < EACH_MAX; i++) {
      if (!matches[i]) continue;
      const x = xOf(at[i]);
      if (to - from > EACH_MAX && x - lastX < 2) continue;
      lastX = x;
      drawn++;
      ring(i, colours.chosen, 6, 1);
    }
  }

  // What has led to the chosen event.
  function drawChain() {
    if (chosen < 0) return;
    pen.strokeStyle = colours.chosen;
    pen.lineWidth = 2;
    pen.beginPath();
    for (let i = chosen, left = 500; i >= 0 && cause[i] >= 0 && left > 0; i = cause[i], left--) {
      pen.moveTo(xOf(at[cause[i]]), yOf(cause[i]));
      pen.lineTo(xOf(at[i]), yOf(i));
    }
    pen.stroke();
    pen.lineWidth = 1;
  }

  function drawFailure(index) {
    if (index >= count) return;
    const x = xOf(at[index]);
    pen.fillStyle = colours.loss;
    pen.globalAlpha = 0.5;
    pen.fillRect(x - 0.5, TOP, 1.5, height);
    pen.globalAlpha = 1;
    ring(index, colours.loss, 11, 3);
  }

  function ring(i, colour, radius, thick = 2) {
    pen.strokeStyle = colour;
    pen.lineWidth = thick;
    pen.beginPath();
    pen.arc(xOf(at[i]), yOf(i), radius, 0, 7);
    pen.stroke();
    pen.lineWidth = 1;
  }

  // ---- Words ---------------------------------------------------------------------------------

  const taskName = (i) => data.task[i] >= 0 ? data.tasks[data.task[i]] : "";

  function lineOf(i) {
    const place = lanes[lane[i]];
    const text = data.texts[data.what[i]];
    return `${timeText(at[i])} ${data.nodes[place.node]}/${place.worker} ${data.kinds[kind[i]]} ${text}`;
  }

  function element(name, text, classes = "") {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = text;
    if (classes) made.className = classes;
    return made;
  }

  function listed(title, indexes, left = 0) {
    const list = element("ol");
    for (const i of indexes) {
      const item = element("li", lineOf(i), i === chosen ? "now" : "");
      item.dataset.index = i;
      list.append(item);
    }
    if (left > 0) list.append(element("li", `… ${left} more`));
    return [element("h2", title), list];
  }

  function stateAt(task, i) {
    const states = shown.get(task) || [];
    let low = 0, high = states.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (states[middle].after <= i) low = middle + 1; else high = middle;
    }
    return low > 0 ? data.texts[states[low - 1].text] : null;
  }

  function showEvent() {
    const panel = byId("event");
    panel.replaceChildren();
    if (chosen < 0) {
      panel.append(element("h2", "event"), element("p", "Choose an event: click it, or step with the keys."));
      return;
    }
    const i = chosen;
    panel.append(element("h2", `event ${i} of ${count}`), element("pre", lineOf(i)));
    if (target[i] >= 0 && arrives[i] > at[i]) {
      panel.append(element("pre", `arrives ${timeText(arrives[i])}, after ${timeText(arrives[i] - at[i])}`));
    }
    if (taskName(i)) panel.append(element("pre", taskName(i)));
    showStates(panel, i);
    const chain = [];
    for (let step = i; step >= 0 && chain.length < 1000; step = cause[step]) chain.push(step);
    const shownChain = chain.slice(0, 14).reverse();
    panel.append(...listed("what has led to it", shownChain, chain.length - shownChain.length));
    const comes = Array.from(effects.subarray(effectsAt[i], effectsAt[i + 1]));
    if (comes.length) panel.append(...listed("what comes of it", comes.slice(0, 14), comes.length - 14));
  }

  function showStates(panel, i) {
    const node = lanes[lane[i]].node;
    const own = data.task[i];
    const tasks = [...shown.keys()].filter((task) => task !== own && data.taskNodes[task] === node);
    for (const task of (own >= 0 ? [own, ...tasks] : tasks).slice(0, 9)) {
      const state = stateAt(task, i);
      if (state !== null) panel.append(element("h2", `state of ${data.tasks[task]}`), element("pre", state));
    }
  }

  // ---- Doing ---------------------------------------------------------------------------------

  function choose(i, follow = true) {
    if (i < 0 || i >= count) return;
    chosen = i;
    if (follow) bringIntoView(i);
    showEvent();
    redraw();
  }

  function bringIntoView(i) {
    const span = view.to - view.from;
    if (at[i] < view.from || at[i] > view.to) {
      view.from = at[i] - span / 2;
      view.to = view.from + span;
    }
    const top = lane[i] * laneHeight;
    if (top < view.scroll) view.scroll = top;
    if (top + laneHeight > view.scroll + height - TOP) view.scroll = top + laneHeight - height + TOP;
    clampScroll();
  }

  function zoom(factor, time = (view.from + view.to) / 2) {
    const span = Math.min((end - first) * 1.2 + 2, Math.max(20, (view.to - view.from) * factor));
    const share = (time - view.from) / (view.to - view.from);
    view.from = time - span * share;
    view.to = view.from + span;
    redraw();
  }

  function showAll() {
    const edge = (end - first) * 0.02 + 1;
    view.from = first - edge;
    view.to = end + edge;
    view.scroll = 0;
    redraw();
  }

  // Shows an event with as much around it as can be told apart.
  function showAround(i) {
    const low = at[Math.max(0, i - 60)], high = at[Math.min(count - 1, i + 20)];
    const edge = Math.max((high - low) * 0.1, 50);
    view.from = low - edge;
    view.to = high + edge;
    choose(i);
  }

  function step(by, sameLane) {
    let i = chosen < 0 ? (by > 0 ? lowerBound(view.from) - 1 : lowerBound(view.to)) : chosen;
    do i += by; while (sameLane && chosen >= 0 && i >= 0 && i < count && lane[i] !== lane[chosen]);
    choose(i);
  }

  function search(text) {
    const words = text.trim().toLowerCase();
    matches = null;
    let found = 0;
    if (words) {
      const has = (name) => name.toLowerCase().includes(words);
      const texts = data.texts.map(has), kinds = data.kinds.map(has), nodes = data.nodes.map(has);
      const tasks = data.tasks.map(has);
      matches = new Uint8Array(count);
      for (let i = 0; i < count; i++) {
        if (texts[data.what[i]] || kinds[kind[i]] || nodes[lanes[lane[i]].node] || tasks[data.task[i]]) {
          matches[i] = 1;
          found++;
        }
      }
    }
    byId("found").textContent = words ? `${found} found` : "";
    redraw();
  }

  function nextMatch(by) {
    if (!matches) return;
    for (let n = 1; n <= count; n++) {
      const i = (((chosen + by * n) % count) + count) % count;
      if (matches[i]) return choose(i);
    }
  }

  function eventNear(x, y) {
    const from = lowerBound(timeOf(x - 9)), to = lowerBound(timeOf(x + 9));
    let best = -1, distance = 110;
    for (let i = from; i < Math.min(to, from + 20000); i++) {
      const away = (xOf(at[i]) - x) ** 2 + (yOf(i) - y) ** 2;
      if (away < distance) { distance = away; best = i; }
    }
    return best;
  }

  function hover(x, y) {
    hovered = x > LEFT && y > TOP ? eventNear(x, y) : -1;
    tip.hidden = hovered < 0;
    if (hovered < 0) return;
    const task = taskName(hovered);
    tip.textContent = `#${hovered} ${lineOf(hovered)}${task ? `  [${task}]` : ""}`;
    tip.style.left = `${Math.min(x + 14, Math.max(0, width - 340))}px`;
    tip.style.top = `${y + 16 > height - 60 ? y - 60 : y + 16}px`;
  }

  function toggleTheme() {
    const root = document.documentElement;
    const isDark = root.dataset.theme ? root.dataset.theme === "dark"
      : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = isDark ? "light" : "dark";
    readColours();
    redraw();
  }

  const toFailure = () => data.failure && data.failure.index < count && showAround(data.failure.index);

  // ---- Events of the browser -----------------------------------------------------------------

  let drag = null;
  canvas.addEventListener("pointerdown", (event) => {
    drag = { x: event.offsetX, y: event.offsetY, from: view.from, to: view.to, scroll: view.scroll, moved: false };
    canvas.setPointerCapture(event.pointerId);
    canvas.focus();
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!drag) return hover(event.offsetX, event.offsetY);
    const by = event.offsetX - drag.x, down = event.offsetY - drag.y;
    drag.moved = drag.moved || Math.abs(by) + Math.abs(down) > 3;
    const span = drag.to - drag.from;
    view.from = drag.from - by / ((width - LEFT - 10) / span);
    view.to = view.from + span;
    view.scroll = drag.scroll - down;
    clampScroll();
    redraw();
  });
  canvas.addEventListener("pointerup", (event) => {
    const clicked = drag && !drag.moved;
    drag = null;
    if (!clicked) return;
    const near = eventNear(event.offsetX, event.offsetY);
    if (near >= 0) choose(near, false);
  });
  canvas.addEventListener("pointerleave", () => { tip.hidden = true; });
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    if (event.shiftKey) {
      view.scroll += event.deltaY || event.deltaX;
      clampScroll();
      redraw();
    } else if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      const by = event.deltaX / scale();
      view.from += by;
      view.to += by;
      redraw();
    } else {
      zoom(Math.exp(event.deltaY * 0.0015), timeOf(event.offsetX));
    }
  }, { passive: false });

  const keys = {
    ArrowRight: (event) => step(1, event.shiftKey),
    ArrowLeft: (event) => step(-1, event.shiftKey),
    ArrowUp: () => chosen >= 0 && choose(cause[chosen]),
    ArrowDown: () => chosen >= 0 && effectsAt[chosen] < effectsAt[chosen + 1] && choose(effects[effectsAt[chosen]]),
    "+": () => zoom(0.6, chosen >= 0 ? at[chosen] : undefined),
    "=": () => zoom(0.6, chosen >= 0 ? at[chosen] : undefined),
    "-": () => zoom(1 / 0.6),
    Home: () => choose(0),
    End: () => choose(count - 1),
    Enter: (event) => nextMatch(event.shiftKey ? -1 : 1),
    f: toFailure,
    0: showAll,
    t: toggleTheme,
    "/": () => byId("search").focus(),
    Escape: () => { byId("search").value = ""; search(""); },
  };
  document.addEventListener("keydown", (event) => {
    const typing = event.target === byId("search");
    if (event.ctrlKey || event.metaKey || event.altKey || !Object.hasOwn(keys, event.key)) return;
    if (typing && event.key !== "Enter" && event.key !== "Escape") return;
    event.preventDefault();
    keys[event.key](event);
    if (typing && event.key === "Escape") canvas.focus();
  });
  byId("search").addEventListener("input", (event) => search(event.target.value));
  byId("whole").addEventListener("click", showAll);
  byId("failed").addEventListener("click", toFailure);
  byId("failure").addEventListener("click", toFailure);
  byId("theme").addEventListener("click", toggleTheme);
  byId("event").addEventListener("click", (event) => {
    const item = event.target.closest("[data-index]");
    if (item) choose(Number(item.dataset.index));
  });
  window.addEventListener("resize", resize);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { readColours(); redraw(); });

  // ---- The beginning -------------------------------------------------------------------------

  byId("title").textContent = document.title;
  byId("counts").textContent = `${count} events, ${data.nodes.length} nodes, trace ${data.trace}`
    + (data.leftOut ? `, ${data.leftOut} payloads left out` : "");
  byId("failed").hidden = !data.failure;
  for (const [name, text] of [["input", "● input"], ["timer", "◆ timeout"], ["output", "■ output, report"],
    ["travel", "→ travels"], ["loss", "✕ lost"], ["verdict", "▲ network"], ["fault", "▲ fault"],
    ["chosen", "chosen, causes"]]) {
    const item = element("span", text);
    item.style.setProperty("--colour", `var(--${name})`);
    byId("legend").append(item);
  }
  readColours();
  resize();
  showAll();
  showEvent();
  if (data.failure) toFailure();
  draw();
  document.documentElement.dataset.loaded = (performance.now() - began).toFixed(1);

  // With `#probe`, says what it has drawn and how long that takes: for tests.
  if (probed) {
    const pixels = () => {
      const { data: bytes } = pen.getImageData(0, 0, canvas.width, canvas.height);
      const seen = new Map();
      for (let i = 0; i < bytes.length; i += 4) {
        const colour = (bytes[i] << 16) | (bytes[i + 1] << 8) | bytes[i + 2];
        seen.set(colour, (seen.get(colour) || 0) + 1);
      }
      return seen;
    };
    const number = (name) => parseInt(colours[name].slice(1), 16);
    const timed = () => {
      const times = [];
      for (let n = 0; n < 15; n++) {
        const start = performance.now();
        draw();
        pen.getImageData(0, 0, 1, 1);
        times.push(performance.now() - start);
      }
      return times.sort((one, other) => one - other)[7];
    };
    const press = (key) => document.dispatchEvent(new KeyboardEvent("keydown", { key }));
    const steps = ["ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight"].map((key) => { press(key); return chosen; });
    byId("search").value = "timeout";
    byId("search").dispatchEvent(new Event("input"));
    const found = byId("found").textContent;
    press("Enter");
    const foundKind = chosen >= 0 ? data.kinds[kind[chosen]] : "";
    press("Escape");
    press("f");
    const close = timed(), near = pixels();
    showAll();
    const far = timed(), whole = pixels();
    const middle = count >> 1, half = Math.min(middle, (EACH_MAX >> 1) - 50);
    view.from = at[Math.max(0, middle - half)] || 0;
    view.to = Math.max(at[Math.min(count - 1, middle + half)] || 0, view.from + 1);
    const each = timed();
    const of = (seen) => Object.fromEntries(["back", "input", "output", "travel", "loss", "fault", "timer", "line"]
      .map((name) => [name, seen.get(number(name)) || 0]));
    const probe = element("output", JSON.stringify({ events: count, lanes: lanes.length, chosen, steps, found, foundKind,
      loadMs: Number(document.documentElement.dataset.loaded), closeMs: close, eachMs: each, farMs: far,
      pixels: canvas.width * canvas.height, near: of(near), whole: of(whole), colours: whole.size }));
    probe.id = "probe";
    document.body.append(probe);
  }
})();
