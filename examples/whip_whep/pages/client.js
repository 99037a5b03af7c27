// What both sides share: the HTTP half of WHIP and WHEP, when a connection is over, and figures.
//
// A page asks once, with all its candidates in the offer (no trickle), and says when it leaves.

/** Milliseconds that candidates may take. Whoever has none by then has the server's. */
const GATHER_MAX = 1000;
/** Milliseconds until media has to flow after the answer. */
const CONNECT_MAX = 10_000;
/** Milliseconds for which a path may be silent before it counts as lost. */
const SILENCE_MAX = 5000;

export const $ = id => document.getElementById(id);

export const pause = (ms, signal) => new Promise(resolve => {
  if (signal?.aborted) return resolve();
  const timer = setTimeout(resolve, ms);
  return signal?.addEventListener('abort', () => { clearTimeout(timer); resolve(); });
});

/** The room that the address names; back to the first page if it names none. */
export function roomOfPage() {
  const room = new URLSearchParams(location.search).get('room') ?? '';
  if (!/^[A-Za-z0-9_-]{1,64}$/.test(room)) {
    location.replace('/');
    return null;
  }
  $('room').textContent = room;
  document.title = `${room} · ${document.title}`;
  return room;
}

/** The token: of the address (`#token=…`, which no server gets to see) or of the last page. */
export function knownToken() {
  const given = new URLSearchParams(location.hash.slice(1)).get('token');
  if (given) keepToken(given);
  return given ?? sessionStorage.getItem('token') ?? '';
}

export const keepToken = token => sessionStorage.setItem('token', token);

/** Why it did not work, in words for whoever sits before the page. */
export class Problem extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }

  /** Whether the same request may well work a little later. */
  get passes() {
    return this.status === 0 || this.status === 409 || this.status === 429 || this.status >= 500;
  }

  static async of(response) {
    const type = response.headers.get('Content-Type') ?? '';
    const said = type.includes('json') ? await response.json().catch(() => ({})) : {};
    const plain = said.detail || said.title || `the server answers ${response.status} ${response.statusText}`.trim();
    return new Problem(response.status, plain.charAt(0).toUpperCase() + plain.slice(1).replace(/\.?$/, '.'));
  }
}

async function ask(path, options) {
  try {
    return await fetch(path, { cache: 'no-store', ...options });
  } catch {
    throw new Problem(0, 'The server does not answer. Is it running, and is this device online?');
  }
}

/** What the server says of a room: `{room, publishing, viewers}`. */
export async function roomStatus(room) {
  const response = await ask(`/rooms/${room}`);
  if (response.status === 404) return { room, publishing: false, viewers: 0 };
  if (!response.ok) throw await Problem.of(response);
  return response.json();
}

export async function rooms() {
  const response = await ask('/rooms');
  if (!response.ok) throw await Problem.of(response);
  return response.json();
}

/** One session at the server, and the peer connection that belongs to it. */
export class Session {
  #location = null;
  #headers;

  constructor(pc, token) {
    this.pc = pc;
    this.#headers = token ? { Authorization: `Bearer ${token}` } : {};
  }

  /** Offers, and takes the answer. */
  async open(path) {
    await this.pc.setLocalDescription();
    await gathered(this.pc);
    const response = await ask(path, {
      method: 'POST',
      headers: { 'Content-Type': 'application/sdp', ...this.#headers },
      body: this.pc.localDescription.sdp,
    });
    if (response.status !== 201) throw await Problem.of(response);
    const where = response.headers.get('Location');
    this.#location = where && new URL(where, response.url).href;
    const sdp = await response.text();
    try {
      await this.pc.setRemoteDescription({ type: 'answer', sdp });
    } catch (error) {
      throw new Problem(-1, `This browser cannot use the server's answer: ${error.message}`);
    }
  }

  /** Tells the server that it is over. It is told also while the page goes away. */
  close() {
    this.pc.close();
    if (!this.#location) return;
    fetch(this.#location, { method: 'DELETE', headers: this.#headers, keepalive: true }).catch(() => {});
    this.#location = null;
  }
}

function gathered(pc) {
  if (pc.iceGatheringState === 'complete') return undefined;
  return new Promise(resolve => {
    setTimeout(resolve, GATHER_MAX);
    pc.addEventListener('icegatheringstatechange', () => pc.iceGatheringState === 'complete' && resolve());
  });
}

/** Resolves when the connection stands, or when nobody wants it any more. */
export function connected(pc, signal) {
  return new Promise((resolve, reject) => {
    const blocked = new Problem(0, 'No way for media between here and the server. Does a firewall block UDP?');
    const timer = setTimeout(reject, CONNECT_MAX, blocked);
    const look = () => {
      if (pc.connectionState === 'connected' || signal?.aborted) resolve();
      else if (pc.connectionState === 'failed') reject(blocked);
      else return;
      clearTimeout(timer);
    };
    pc.addEventListener('connectionstatechange', look);
    signal?.addEventListener('abort', look);
    look();
  });
}

/** Resolves when the connection is over, whoever has ended it, with whether the other end said so. */
export function over(pc, signal) {
  return new Promise(resolve => {
    let silence = null;
    const look = () => {
      clearTimeout(silence);
      const transport = [...pc.getReceivers(), ...pc.getSenders()].find(one => one.transport)?.transport;
      if (signal?.aborted || transport?.state === 'closed' || pc.connectionState === 'closed') resolve('closed');
      else if (transport?.state === 'failed' || pc.connectionState === 'failed') resolve('lost');
      else if (pc.connectionState === 'disconnected') silence = setTimeout(resolve, SILENCE_MAX, 'lost');
      transport?.addEventListener('statechange', look, { once: true });
    };
    pc.addEventListener('connectionstatechange', look);
    signal?.addEventListener('abort', look);
    look();
  });
}

/** Where the page shows its state, and where tests read it. */
export class State {
  constructor(words) {
    this.words = words;
    this.name = 'starting';
    window.whip = { state: this.name, problem: null, stats: {} };
  }

  show(state, text) {
    window.whip.state = this.name = state;
    for (const place of [$('state'), $('badge')]) place.dataset.state = state;
    $('badge').textContent = this.words[state];
    // Said again only if it is news: a reader of screens speaks each change.
    if ($('state').textContent !== text) $('state').textContent = text;
  }
}

/** Figures once a second, from what `getStats` counts. */
export class Figures {
  #before = new Map();

  /** Reports of one look, with `bitrate` (bits a second) where there are bytes to count. */
  async look(pc) {
    const reports = [...(await pc.getStats()).values()].map(report => ({ ...report }));
    for (const report of reports) {
      const bytes = report.bytesSent ?? report.bytesReceived;
      if (bytes === undefined) continue;
      const before = this.#before.get(report.id);
      const seconds = before && (report.timestamp - before.timestamp) / 1000;
      report.bitrate = seconds > 0 ? Math.max(0, bytes - before.bytes) * 8 / seconds : 0;
      this.#before.set(report.id, { bytes, timestamp: report.timestamp });
    }
    const byId = new Map(reports.map(report => [report.id, report]));
    const codecOf = report => byId.get(report?.codecId)?.mimeType.split('/')[1] ?? null;
    const of = (type, kind) => reports.filter(one => one.type === type && (!kind || one.kind === kind));
    return { of, codecOf, pair: of('candidate-pair').find(pair => pair.nominated && pair.state === 'succeeded') };
  }
}

/** Nothing is sent or played any more: no figure holds. */
export function clearFigures() {
  for (const place of document.querySelectorAll('[data-figure]')) place.textContent = '–';
}

/** Writes figures where the page has places for them. */
export function showFigures(figures) {
  for (const [name, text] of Object.entries(figures)) {
    for (const place of document.querySelectorAll(`[data-figure="${name}"]`)) place.textContent = text ?? '–';
  }
}

export function inBits(bits) {
  return bits >= 999_500 ? `${(bits / 1e6).toFixed(2)} Mbit/s` : `${Math.round(bits / 1000)} kbit/s`;
}
export const inMs = seconds => seconds === undefined ? null : `${(seconds * 1000).toFixed(seconds < 0.01 ? 1 : 0)} ms`;
export const inPixels = one => one?.frameWidth ? `${one.frameWidth}×${one.frameHeight}` : null;
export const inFrames = one => one?.framesPerSecond === undefined ? null : `${Math.round(one.framesPerSecond)} fps`;

/** Packets that are lost, of all. */
export function inLosses(lost, arrived) {
  const all = Math.max(0, lost) + arrived;
  return all ? `${lost} (${(100 * Math.max(0, lost) / all).toFixed(1)} %)` : null;
}

/** The last minute of one figure, as a line. */
export class Graph {
  #values = [];

  constructor(canvas) {
    this.canvas = canvas;
    new ResizeObserver(() => this.#draw()).observe(canvas);
  }

  add(value) {
    this.#values.push(value);
    this.#values.splice(0, this.#values.length - 60);
    this.#draw();
  }

  #draw() {
    const { canvas } = this;
    const [width, height] = [canvas.clientWidth * devicePixelRatio, canvas.clientHeight * devicePixelRatio];
    Object.assign(canvas, { width, height });
    const context = canvas.getContext('2d');
    context.fillStyle = getComputedStyle(canvas).color;
    context.globalAlpha = 0.3;
    context.fillRect(0, height - devicePixelRatio, width, devicePixelRatio);
    context.globalAlpha = 1;
    if (this.#values.length < 2) return;
    const most = Math.max(...this.#values, 1) * 1.1;
    const x = index => width - (this.#values.length - 1 - index) * width / 59;
    const y = value => height - 2 - (height - 4) * value / most;
    context.strokeStyle = context.fillStyle;
    context.lineWidth = 2 * devicePixelRatio;
    context.lineJoin = 'round';
    context.beginPath();
    this.#values.forEach((value, index) => context.lineTo(x(index), y(value)));
    context.stroke();
    context.lineTo(width, height);
    context.lineTo(x(0), height);
    context.globalAlpha = 0.14;
    context.fill();
  }
}

/** Keeps the screen of a phone on while something is shown or sent. */
export async function stayAwake() {
  try {
    return await navigator.wakeLock?.request('screen');
  } catch {
    return null; // Not on this device, or not while its battery is low.
  }
}
