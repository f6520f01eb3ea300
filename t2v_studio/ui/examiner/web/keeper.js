// What is answered is kept in this browser until the server has it: a reload, a lost line or a closed window loses nothing.
const DEBOUNCE_MS = 400, RETRY_MS = [1000, 2000, 4000, 8000, 15000], BATCH = 100;

class Trouble extends Error {
  constructor(status, told) {
    super(told.message || 'The server cannot be reached.');
    Object.assign(this, {status, code: told.code || 'offline', hint: told.hint || '', open: told.open || [], uuid: told.uuid || ''});
  }
}

async function ask(path, body, options = {}) {
  let answer, told = {};
  try {
    answer = await fetch(`api/${path}`, {
      method: body === undefined ? 'GET' : 'POST', credentials: 'same-origin', cache: 'no-store',
      ...(body === undefined ? {} : {headers: {'content-type': 'application/json'}, body: JSON.stringify(body)}), ...options,
    });
  } catch (error) { throw new Trouble(0, {}); }
  try { told = await answer.json(); } catch (error) { /* an empty or foreign answer */ }
  if (!answer.ok) throw new Trouble(answer.status, told);
  return told;
}

const newUuid = () => {
  if (crypto.randomUUID) return crypto.randomUUID();
  const part = Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('');
  return `${part.slice(0, 8)}-${part.slice(8, 12)}-${part.slice(12, 16)}-${part.slice(16, 20)}-${part.slice(20)}`;
};

const slotOf = (event) => [event.assignment, event.kind, ['preference', 'guess'].includes(event.kind) ? '' : event.side, event.criterion || ''].join('|');

class Keeper {
  // tell(state, details): saving, saved, offline, conflict, refused, reopened, signed_out, study_closed
  constructor(rater, tell) {
    this.prefix = `t2v-rate:${rater}:`;
    this.tell = tell;
    this.waiting = new Map();
    this.revisions = new Map();
    this.count = 0; this.failures = 0; this.timer = 0; this.running = null; this.stopped = false;
    this.restore();
    window.addEventListener('online', () => this.later(0));
    window.addEventListener('pagehide', () => this.hurry());
    document.addEventListener('visibilitychange', () => { if (document.hidden) this.hurry(); });
  }

  restore() {
    const kept = [];
    try {
      for (let i = 0; i < localStorage.length; i++) {
        const name = localStorage.key(i);
        if (name.startsWith(this.prefix)) kept.push(JSON.parse(localStorage.getItem(name)));
      }
    } catch (error) { /* a private window keeps nothing */ }
    kept.sort((one, two) => one.at - two.at || one.number - two.number).forEach((item) => this.waiting.set(item.uuid, item));
  }

  keep(item) { try { localStorage.setItem(this.prefix + item.uuid, JSON.stringify(item)); } catch (error) { /* full or private */ } }
  drop(uuid) { this.waiting.delete(uuid); try { localStorage.removeItem(this.prefix + uuid); } catch (error) { /* private */ } }

  // The revision of what the page shows, from which the next change starts.
  knows(event, revision) { this.revisions.set(slotOf(event), revision || 0); }

  note(event) {
    const slot = slotOf(event);
    for (const item of this.waiting.values()) if (!item.sent && slotOf(item.event) === slot) this.drop(item.uuid);
    const item = {uuid: newUuid(), event: {...event, client_ts: new Date().toISOString()}, seen: this.revisions.get(slot) || 0,
      sent: false, at: Date.now(), number: this.count++};
    this.waiting.set(item.uuid, item);
    this.keep(item);
    this.tell('saving');
    this.later(DEBOUNCE_MS);
  }

  later(ms) { clearTimeout(this.timer); this.timer = setTimeout(() => this.flush().catch(() => {}), ms); }

  // On leaving: once more, in a request that outlives the page.
  hurry() {
    if (!this.waiting.size || this.running || this.stopped) return;
    clearTimeout(this.timer);
    this.flush({keepalive: true}).catch(() => {});
  }

  flush(options = {}) {
    if (!this.running) this.running = this.drain(options).finally(() => { this.running = null; });
    return this.running;
  }

  async drain(options) {
    clearTimeout(this.timer);
    while (this.waiting.size && !this.stopped) {
      const batch = this.batch();
      try {
        this.took(batch, await ask('events', {events: batch.map((item) => ({...item.event, uuid: item.uuid, based_on: item.based_on}))}, options));
      } catch (trouble) {
        if (!(trouble instanceof Trouble)) throw trouble;
        if (!this.survives(trouble, batch)) throw trouble;
      }
    }
  }

  // One event a slot and the oldest first. What was sent once is never changed: the server knows it by its uuid.
  batch() {
    const batch = [], slots = new Set();
    for (const item of this.waiting.values()) {
      const slot = slotOf(item.event);
      if (slots.has(slot) || batch.length >= BATCH) continue;
      slots.add(slot);
      if (!item.sent) {
        item.sent = true;
        item.based_on = item.event.kind === 'exposure' ? null : this.revisions.get(slot) ?? item.seen;
        this.keep(item);
      }
      batch.push(item);
    }
    return batch;
  }

  took(batch, answer) {
    this.failures = 0;
    for (const item of batch) {
      this.drop(item.uuid);
      if (item.uuid in answer.revisions && item.event.kind !== 'exposure') this.revisions.set(slotOf(item.event), answer.revisions[item.uuid]);
    }
    if (answer.conflicts.length) {
      const lost = new Set(answer.conflicts.map(slotOf));
      for (const item of [...this.waiting.values()]) if (lost.has(slotOf(item.event))) this.drop(item.uuid);
      this.tell('conflict', answer.conflicts);
    }
    if (answer.reopened.length) this.tell('reopened', answer.reopened);
    if (!this.waiting.size) this.tell('saved', answer.saved_at);
  }

  // Whether to go on after a failure: an event that the server will never take must not hold up the others.
  survives(trouble, batch) {
    if ([404, 422].includes(trouble.status)) {
      const bad = trouble.uuid && this.waiting.has(trouble.uuid) ? [trouble.uuid] : batch.map((item) => item.uuid);
      bad.forEach((uuid) => this.drop(uuid));
      this.tell('refused', trouble);
      return true;
    }
    if (trouble.code === 'signed_out' || trouble.code === 'study_closed') {
      this.stopped = true;
      this.tell(trouble.code, trouble);
    } else {
      this.tell('offline', trouble);
      this.later(RETRY_MS[Math.min(this.failures++, RETRY_MS.length - 1)]);
    }
    return false;
  }
}
