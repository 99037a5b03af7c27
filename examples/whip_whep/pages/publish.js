// The page of a publisher: camera, microphone or screen into a room, until it is stopped.
import {
  $, Figures, Graph, Problem, Session, State, clearFigures, connected, inBits, inFrames, inLosses, inMs, inPixels,
  keepToken, knownToken, over, pause, roomOfPage, roomStatus, showFigures, stayAwake,
} from './client.js';

/** Milliseconds until a lost connection is tried again: at first, and at most. */
const [RETRY_MIN, RETRY_MAX] = [1000, 8000];
/** Bits a second for a picture, by its lines. */
const BITRATES = { 1080: 4_000_000, 720: 2_500_000, 480: 1_200_000, 360: 800_000 };
/** What keeps a browser from sending a better picture. */
const LIMITS = { bandwidth: 'the network', cpu: 'this device', other: 'the browser' };
/** Codecs of pictures, in the order of the list that offers them. */
const CODECS = ['VP8', 'VP9', 'H264'];

const room = roomOfPage();
const query = new URLSearchParams(location.search);
const video = $('video');
const graph = new Graph($('graph'));
const state = new State({
  idle: 'Not live', connecting: 'Connecting', live: 'Live', lost: 'Lost', refused: 'Not live',
});
/** What is sent: one track each, or none. */
const tracks = { video: null, audio: null };
let session = null;
let stopping = null;

// ---- Camera, microphone, screen

function pictureWanted() {
  const lines = Number($('size').value);
  return { width: { ideal: Math.round(lines * 16 / 9) }, height: { ideal: lines }, frameRate: { ideal: 30 } };
}

/** Asks for both at once, so that the browser asks its user once; for one if there is no other. */
async function openDevices() {
  $('again').hidden = true;
  if (!navigator.mediaDevices?.getUserMedia) {
    throw new Problem(-1, 'Browsers give camera and microphone to pages over HTTPS, or from this very computer'
      + ' (localhost), only. Open this page in one of these ways.');
  }
  let refused = null;
  for (const wanted of [{ video: pictureWanted(), audio: true }, { video: pictureWanted() }, { audio: true }]) {
    try {
      const stream = await navigator.mediaDevices.getUserMedia(wanted);
      stream.getTracks().forEach(put);
      return;
    } catch (error) {
      refused ??= error;
      if (error.name === 'NotAllowedError') break;
    }
  }
  // A screen can still be shown.
  throw new Problem(-1, whyNoDevice(refused));
}

function whyNoDevice(error) {
  switch (error.name) {
    case 'NotAllowedError':
      return 'The browser lets this page use no camera and no microphone. Allow it beside the address, then ask again.';
    case 'NotFoundError':
      return 'There is no camera and no microphone here. A screen can be shown instead, where the browser can.';
    case 'NotReadableError':
      return 'Another program holds the camera or the microphone. Close it, then ask again.';
    default:
      return `No camera and no microphone: ${error.message}`;
  }
}

/** Takes a track in place of the one of its kind, on the air as well. */
function put(track) {
  drop(track.kind);
  tracks[track.kind] = track;
  track.addEventListener('ended', () => tracks[track.kind] === track && lostTrack(track));
  if (track.kind === 'video') track.contentHint = isScreen(track) ? 'detail' : 'motion';
  sendTracks();
  preview();
}

function drop(kind) {
  tracks[kind]?.stop();
  tracks[kind] = null;
}

function sendTracks() {
  for (const { sender, kind } of session?.places ?? []) {
    const cannot = error => state.show(state.name, `The change cannot be sent: ${error.message}.`);
    sender.replaceTrack(tracks[kind]).catch(cannot);
  }
  const added = ['video', 'audio'].some(kind => tracks[kind] && !session?.places.some(place => place.kind === kind));
  const later = 'You are live. What you have added is sent from the next start on.';
  if (state.name === 'live' && added) state.show('live', later);
}

function preview() {
  video.srcObject = tracks.video && new MediaStream([tracks.video]);
  const facing = tracks.video?.getSettings().facingMode;
  video.classList.toggle('mirrored', !isScreen(tracks.video) && facing !== 'environment');
  $('go').disabled = !stopping && !tracks.video && !tracks.audio;
}

const isScreen = track => Boolean(track?.getSettings().displaySurface);

/** A screen is no longer shared, a camera is pulled out. */
function lostTrack(track) {
  drop(track.kind);
  sendTracks();
  preview();
  if (stopping && !tracks.video && !tracks.audio) stop('Nothing is left to send: publishing has stopped.');
  else if (!stopping) state.show('idle', 'The device is gone. Choose another one.');
  listDevices();
}

/** Fills the lists of devices; their names are known once the user has allowed one. */
async function listDevices() {
  const devices = await navigator.mediaDevices?.enumerateDevices().catch(() => []) ?? [];
  for (const [list, kind, none, noun] of [
    [$('camera'), 'videoinput', 'No picture', 'Camera'], [$('microphone'), 'audioinput', 'No sound', 'Microphone'],
  ]) {
    const track = tracks[kind === 'videoinput' ? 'video' : 'audio'];
    const found = devices.filter(device => device.kind === kind && device.deviceId);
    const options = found.map((device, index) => new Option(device.label || `${noun} ${index + 1}`, device.deviceId));
    if (kind === 'videoinput' && navigator.mediaDevices?.getDisplayMedia) {
      options.push(new Option('Screen or window …', 'screen'));
    }
    list.replaceChildren(...options, new Option(none, ''));
    list.value = isScreen(track) ? 'screen' : track?.getSettings().deviceId ?? '';
    if (list.selectedIndex < 0) list.selectedIndex = track ? 0 : options.length;
  }
}

/** Another device is chosen. If it cannot be had, what was there stays. */
async function choose(kind, id) {
  try {
    if (!id) {
      drop(kind);
      sendTracks();
      preview();
    } else if (id === 'screen') {
      put((await navigator.mediaDevices.getDisplayMedia({ video: { frameRate: { ideal: 15 } } })).getVideoTracks()[0]);
    } else {
      // Many phones open one camera at a time.
      if (kind === 'video') tracks.video?.stop();
      const wanted = { [kind]: { deviceId: { exact: id }, ...(kind === 'video' ? pictureWanted() : {}) } };
      put((await navigator.mediaDevices.getUserMedia(wanted)).getTracks()[0]);
    }
    if (!stopping) state.show('idle', readyText());
  } catch (error) {
    if (tracks[kind]?.readyState === 'ended') drop(kind);
    preview();
    const why = error.name === 'NotAllowedError' ? 'Not allowed; nothing has changed.' : whyNoDevice(error);
    state.show(stopping ? state.name : 'idle', why);
  }
  await listDevices();
}

function readyText() {
  if (tracks.video && tracks.audio) return 'Ready. Nobody sees you yet.';
  if (tracks.video) return 'Ready, with a picture and no sound. Nobody sees you yet.';
  if (tracks.audio) return 'Ready, with sound and no picture. Nobody hears you yet.';
  return 'Choose a picture or a sound to send.';
}

// ---- Publishing

/** Codecs of pictures that this browser can send. */
const codecsHere = () => RTCRtpSender.getCapabilities?.('video')?.codecs ?? [];
const isCodec = (codec, name) => codec.mimeType.toLowerCase() === `video/${name.toLowerCase()}`;

/** All codecs, the one wanted first; nothing but that one (and its repairs) if the user has chosen it. */
function preferred(name) {
  const all = codecsHere();
  const plain = codec => codec.sdpFmtpLine?.includes('packetization-mode=0') ? 1 : 0;
  const first = all.filter(codec => isCodec(codec, name || 'VP8')).sort((a, b) => plain(a) - plain(b));
  if (!name) return [...first, ...all.filter(codec => !first.includes(codec))];
  return [...first, ...all.filter(codec => /\/(rtx|red|ulpfec)$/i.test(codec.mimeType))];
}

/** Other codecs would need other ways to be sent in several sizes. */
const simulcastFits = () => ['', 'VP8'].includes($('codec').value);

/** Three sizes where the codec can do that: the smallest first, as browsers fill them up in that order. */
function encodings() {
  const most = BITRATES[$('size').value];
  if (!$('simulcast').checked || !simulcastFits()) return [{ maxBitrate: most }];
  return [
    { rid: 'l', scaleResolutionDownBy: 4, maxBitrate: Math.max(120_000, most / 14) },
    { rid: 'm', scaleResolutionDownBy: 2, maxBitrate: most / 4 },
    { rid: 'h', scaleResolutionDownBy: 1, maxBitrate: most },
  ];
}

function addTracks(pc) {
  const places = [];
  for (const kind of ['video', 'audio']) {
    if (!tracks[kind]) continue;
    const options = { direction: 'sendonly', ...(kind === 'video' ? { sendEncodings: encodings() } : {}) };
    const transceiver = pc.addTransceiver(tracks[kind], options);
    if (kind === 'video' && codecsHere().length) transceiver.setCodecPreferences?.(preferred($('codec').value));
    places.push({ kind, sender: transceiver.sender });
  }
  return places;
}

/** One session, from its offer until it is stopped or lost. */
async function publishOnce(signal, live) {
  const gone = new AbortController();
  const pc = new RTCPeerConnection({ bundlePolicy: 'max-bundle' });
  session = new Session(pc, $('token').value);
  session.places = addTracks(pc);
  try {
    await session.open(`/whip/${room}`);
    await connected(pc, signal);
    if (signal.aborted) return;
    live();
    const lock = await stayAwake();
    const looking = lookOften(pc, gone);
    await over(pc, signal);
    gone.abort();
    await looking;
    lock?.release();
  } finally {
    session.close();
    session = null;
    $('viewers').hidden = $('layers').hidden = true;
    clearFigures();
  }
}

/** Publishes until the user stops it. What was live once is tried again; what is refused at first is not. */
async function publish() {
  stopping = new AbortController();
  const { signal } = stopping;
  let wasLive = false;
  let wait = RETRY_MIN;
  controls();
  state.show('connecting', 'Connecting …');
  while (!signal.aborted) {
    try {
      await publishOnce(signal, () => {
        [wasLive, wait] = [true, RETRY_MIN];
        window.whip.problem = null;
        state.show('live', 'You are live.');
      });
      if (!signal.aborted) state.show('lost', 'The connection is lost. Trying again …');
    } catch (error) {
      if (signal.aborted) break;
      window.whip.problem = error.message;
      if (!wasLive || !error.passes) {
        stopping = null;
        state.show('refused', error.message);
        if (error.status === 401 || error.status === 403) askForToken();
        break;
      }
      state.show('lost', `${error.message} Trying again …`);
    }
    await pause(wait, signal);
    wait = Math.min(wait * 2, RETRY_MAX);
  }
  stopping = null;
  controls();
}

function askForToken() {
  document.querySelector('details').open = true;
  $('token').focus();
}

function stop(text = 'Stopped. Nobody sees you any more.') {
  stopping?.abort();
  state.show('idle', text);
}

function controls() {
  $('go').textContent = stopping ? 'Stop publishing' : 'Start publishing';
  $('go').classList.toggle('stop', Boolean(stopping));
  for (const name of ['size', 'codec', 'token']) $(name).disabled = Boolean(stopping);
  $('simulcast').disabled = Boolean(stopping) || !simulcastFits();
  $('simulcast-note').textContent = simulcastFits() ? '' : 'With VP8 only.';
  preview();
}

// ---- Figures

async function lookOften(pc, gone) {
  const figures = new Figures();
  for (let looks = 0; !gone.signal.aborted; looks += 1) {
    show(await figures.look(pc));
    if (looks % 2 === 0) roomStatus(room).then(showViewers, () => {});
    await pause(1000, gone.signal);
  }
}

function showViewers({ viewers }) {
  window.whip.viewers = viewers;
  $('viewers').hidden = state.name !== 'live';
  $('viewers').textContent = viewers === 1 ? '1 viewer' : `${viewers} viewers`;
  showFigures({ viewers });
}

function show(stats) {
  const sent = stats.of('outbound-rtp');
  const layers = sent.filter(one => one.kind === 'video').sort((a, b) => (b.frameHeight ?? 0) - (a.frameHeight ?? 0));
  const heard = stats.of('remote-inbound-rtp');
  const bitrate = sent.reduce((sum, one) => sum + one.bitrate, 0);
  const lost = heard.reduce((sum, one) => sum + (one.packetsLost ?? 0), 0);
  const packets = sent.reduce((sum, one) => sum + (one.packetsSent ?? 0), 0);
  const codecs = [...new Set([...layers, ...sent].map(stats.codecOf).filter(Boolean))];
  const roundTrip = stats.pair?.currentRoundTripTime ?? heard[0]?.roundTripTime;
  const best = layers.find(layer => layer.framesPerSecond) ?? layers[0];
  graph.add(bitrate);
  showFigures({
    bitrate: inBits(bitrate),
    roundTrip: inMs(roundTrip),
    losses: heard.length ? inLosses(lost, packets - Math.max(0, lost)) : null,
    picture: inPixels(best),
    rate: inFrames(best),
    limit: best && (LIMITS[best.qualityLimitationReason] ?? 'nothing'),
    codec: codecs.join(', ') || null,
  });
  showLayers(layers);
  const audio = sent.find(one => one.kind === 'audio');
  window.whip.stats = { bitrate, roundTrip, lost, packets, codecs, layers, audio };
}

function showLayers(layers) {
  $('layers').hidden = layers.length < 2;
  $('layers').tBodies[0].replaceChildren(...layers.map(layer => {
    const row = document.createElement('tr');
    const picture = layer.framesPerSecond ? `${inPixels(layer)}, ${inFrames(layer)}` : 'off';
    for (const text of [layer.rid, picture, inBits(layer.bitrate)]) {
      row.insertCell().textContent = text;
    }
    return row;
  }));
}

// ---- The page

function fillFromAddress() {
  for (const name of CODECS) {
    const here = codecsHere().some(codec => isCodec(codec, name));
    if (here) $('codec').append(new Option(name === 'H264' ? 'H.264' : name, name));
  }
  const wanted = (query.get('codec') ?? '').toUpperCase().replace('.', '');
  if ([...$('codec').options].some(option => option.value === wanted)) $('codec').value = wanted;
  if (BITRATES[query.get('size')]) $('size').value = query.get('size');
  $('simulcast').checked = query.get('simulcast') !== '0';
  $('token').value = knownToken();
  const link = new URL(`/watch?room=${room}`, location.href).href;
  $('link').value = link;
}

async function copyLink() {
  try {
    await navigator.clipboard.writeText($('link').value);
  } catch {
    $('link').select();
    document.execCommand('copy');
  }
  $('copy').textContent = 'Copied';
  await pause(2000);
  $('copy').textContent = 'Copy';
}

async function begin() {
  state.show('idle', 'Asking for camera and microphone …');
  try {
    await openDevices();
    state.show('idle', readyText());
  } catch (problem) {
    window.whip.problem = problem.message;
    state.show('refused', problem.message);
    $('again').hidden = !navigator.mediaDevices?.getUserMedia;
  }
  await listDevices();
  preview();
}

if (room) {
  fillFromAddress();
  controls();
  begin();
  $('go').addEventListener('click', () => stopping ? stop() : publish());
  $('again').addEventListener('click', begin);
  $('copy').addEventListener('click', copyLink);
  $('token').addEventListener('change', () => keepToken($('token').value));
  $('codec').addEventListener('change', controls);
  $('camera').addEventListener('change', () => choose('video', $('camera').value));
  $('microphone').addEventListener('change', () => choose('audio', $('microphone').value));
  $('size').addEventListener('change', () => tracks.video?.applyConstraints(pictureWanted()).then(preview, () => {}));
  $('link').addEventListener('focus', () => $('link').select());
  navigator.mediaDevices?.addEventListener?.('devicechange', listDevices);
  addEventListener('pagehide', () => session?.close());
  addEventListener('pageshow', event => event.persisted && location.reload());
}
