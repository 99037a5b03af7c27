// The page of a viewer: plays when somebody publishes, waits when nobody does, and begins again by itself.
import {
  $, Figures, Graph, Problem, Session, State, clearFigures, connected, inBits, inFrames, inLosses, inMs, inPixels,
  keepToken, knownToken, over, pause, roomOfPage, roomStatus, showFigures, stayAwake,
} from './client.js';

/** Milliseconds between two looks whether somebody publishes. */
const LOOK_AGAIN = 1000;
/** Looks, one a second, without a packet, until the server is asked whether the publisher is gone. */
const QUIET_LOOKS_MAX = 4;

const room = roomOfPage();
const video = $('video');
const graph = new Graph($('graph'));
const state = new State({
  waiting: 'Waiting', connecting: 'Connecting', playing: 'Live', ended: 'Ended', lost: 'Lost', refused: 'Not playing',
});
let session = null;
let token = knownToken();

/** Says where we are; what is not playing is said over the picture as well. */
function say(name, text) {
  state.show(name, text);
  $('veil').textContent = name === 'playing' ? '' : text;
  $('again').hidden = name !== 'refused';
  $('hint').hidden = name === 'refused';
}

/** One session, from its offer to its end. Says how it ended: as the publisher's end, or lost. */
async function playOnce() {
  const gone = new AbortController();
  const pc = new RTCPeerConnection({ bundlePolicy: 'max-bundle' });
  session = new Session(pc, token);
  try {
    pc.addTransceiver('video', { direction: 'recvonly' });
    pc.addTransceiver('audio', { direction: 'recvonly' });
    await session.open(`/whep/${room}`);
    say('connecting', 'Somebody is live. Connecting …');
    await connected(pc);
    carry(pc, false);
    const lock = await stayAwake();
    const looking = lookOften(pc, gone);
    const how = await over(pc, gone.signal);
    gone.abort();
    await looking;
    lock?.release();
    return how;
  } finally {
    session.close();
    session = null;
    video.srcObject = null;
    clearFigures();
    $('sound').hidden = $('full').hidden = true;
  }
}

/** Browsers play without sound until somebody has touched the page. */
async function play() {
  try {
    await video.play();
  } catch (error) {
    if (error.name !== 'NotAllowedError') return;
    video.muted = true;
    await video.play().catch(() => {});
  }
  $('sound').textContent = video.muted ? 'Sound on' : 'Sound off';
}

/** Figures once a second, until the session is over. If nothing comes, asks whether there is a publisher still. */
async function lookOften(pc, gone) {
  const figures = new Figures();
  let [packets, quiet] = [0, 0];
  while (!gone.signal.aborted) {
    const stats = await figures.look(pc);
    const picture = stats.of('inbound-rtp', 'video')[0];
    const sound = stats.of('inbound-rtp', 'audio')[0];
    show(stats, picture, sound);
    const now = (picture?.packetsReceived ?? 0) + (sound?.packetsReceived ?? 0);
    quiet = now > packets ? 0 : quiet + 1;
    packets = now;
    // A picture is there, or sound alone if no picture is to come. (Probes of the network are packets without bytes.)
    const soundAlone = Boolean(sound?.bytesReceived && !picture?.bytesReceived);
    carry(pc, soundAlone);
    if (picture?.framesDecoded || soundAlone) {
      if (quiet <= QUIET_LOOKS_MAX) {
        const why = 'Playing sound only: no picture is sent, or none that this browser can show.';
        say('playing', picture?.framesDecoded ? 'Playing.' : why);
        $('sound').hidden = !sound?.packetsReceived;
        $('full').hidden = !picture?.framesDecoded || !($('stage').requestFullscreen || video.webkitEnterFullscreen);
      }
    }
    if (quiet > QUIET_LOOKS_MAX) {
      const { publishing } = await roomStatus(room).catch(() => ({ publishing: false }));
      if (!publishing) return gone.abort();
      say('connecting', 'Nothing comes from the publisher at the moment …');
    }
    await pause(1000, gone.signal);
  }
  return undefined;
}

/**
 * Has the page play what there is. Browsers play no sound before the first picture: while there is none, they are not
 * to wait for one. (Tracks that come and go in a stream do not tell them; another stream does.)
 */
function carry(pc, soundAlone) {
  const tracks = pc.getReceivers().map(({ track }) => track).filter(({ kind }) => kind === 'audio' || !soundAlone);
  if (video.srcObject?.getTracks().length === tracks.length) return;
  video.srcObject = new MediaStream(tracks);
  play();
}

function show(stats, picture, sound) {
  const bitrate = (picture?.bitrate ?? 0) + (sound?.bitrate ?? 0);
  const lost = (picture?.packetsLost ?? 0) + (sound?.packetsLost ?? 0);
  const arrived = (picture?.packetsReceived ?? 0) + (sound?.packetsReceived ?? 0);
  const codecs = [stats.codecOf(picture), stats.codecOf(sound)].filter(Boolean);
  const count = number => number?.toLocaleString('en').replaceAll(',', ' ');
  graph.add(bitrate);
  showFigures({
    bitrate: inBits(bitrate),
    jitter: inMs((picture ?? sound)?.jitter),
    losses: inLosses(lost, arrived),
    decoded: count(picture?.framesDecoded),
    dropped: count(picture?.framesDropped),
    picture: inPixels(picture),
    rate: inFrames(picture),
    codec: codecs.join(', ') || null,
  });
  window.whip.stats = { bitrate, video: picture, audio: sound, codecs, roundTrip: stats.pair?.currentRoundTripTime };
}

/** Waits until somebody publishes, or the server is back. */
async function publisher(name, text) {
  say(name, text);
  for (;;) {
    await pause(LOOK_AGAIN);
    try {
      if ((await roomStatus(room)).publishing) return;
      say(name, text);
    } catch (problem) {
      say('lost', `${problem.message} Trying again …`);
    }
  }
}

/** Plays for as long as the page is open. Ends only where trying again cannot help. */
async function run() {
  say('connecting', 'Connecting …');
  for (;;) {
    try {
      const how = await playOnce();
      if (how === 'closed') {
        await publisher('ended', 'The publisher has ended. This goes on by itself when somebody publishes here again.');
      } else {
        say('lost', 'The connection is lost. Trying again …');
        await pause(LOOK_AGAIN);
      }
    } catch (problem) {
      window.whip.problem = problem.message;
      if (problem.status === 404) {
        await publisher('waiting', 'Nobody publishes here yet. This starts by itself as soon as somebody does.');
      } else if (problem instanceof Problem && !problem.passes) {
        say('refused', problem.message);
        $('ask-token').hidden = problem.status !== 401 && problem.status !== 403;
        return;
      } else {
        say('lost', `${problem.message} Trying again …`);
        await pause(LOOK_AGAIN);
      }
    }
  }
}

$('again').addEventListener('click', run);
$('ask-token').addEventListener('submit', event => {
  event.preventDefault();
  token = $('token').value;
  keepToken(token);
  $('ask-token').hidden = true;
  run();
});
$('sound').addEventListener('click', () => {
  video.muted = !video.muted;
  play();
});
$('full').addEventListener('click', () => {
  if (document.fullscreenElement) document.exitFullscreen();
  else if ($('stage').requestFullscreen) $('stage').requestFullscreen();
  else video.webkitEnterFullscreen();
});
addEventListener('pagehide', () => session?.close());
// Taken out of the cache by the back button: begin anew.
addEventListener('pageshow', event => event.persisted && location.reload());

if (room) run();
