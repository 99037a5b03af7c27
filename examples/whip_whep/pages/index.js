// The first page: which rooms are live.
import { $, rooms } from './client.js';

const counted = viewers => viewers === 1 ? '1 viewer' : `${viewers} viewers`;

async function look() {
  let note = '';
  try {
    const live = (await rooms()).filter(room => room.publishing);
    $('rooms').replaceChildren(...live.map(({ room, viewers }) => {
      const link = Object.assign(document.createElement('a'), { href: `/watch?room=${encodeURIComponent(room)}` });
      link.append(
        Object.assign(document.createElement('b'), { textContent: room }),
        Object.assign(document.createElement('span'), { textContent: counted(viewers) }),
      );
      const item = document.createElement('li');
      item.append(link);
      return item;
    }));
    if (!live.length) note = 'Nobody is live. Be the first.';
  } catch (problem) {
    $('rooms').replaceChildren();
    note = problem.message;
  }
  if ($('rooms-note').textContent !== note) $('rooms-note').textContent = note;
}

async function tick() {
  if (!document.hidden) await look();
  setTimeout(tick, 2000);
}

tick();
