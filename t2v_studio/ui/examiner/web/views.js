// The other views, and the way through them: welcome, pairs, practice feedback, last questions, thanks.
const KEYS = [
  ['Space', 'play or pause both'], [', and .', 'one frame back or on'], ['R', 'from the start'], ['L', 'loop'], ['F', 'full screen'],
  ['Tab', 'next scale'], ['← →', 'move within a scale'], ['1 to 5', 'score the marked scale'], ['N', 'cannot judge'],
  ['[ and ]', 'left or right side of the row'], ['Esc', 'leave a comment field'], ['Ctrl + Enter', 'save & next'], ['?', 'this list'],
];

class App {
  constructor(root) {
    this.root = root;
    this.view = null;
    this.locked = false;
    document.addEventListener('keydown', (event) => {
      if (this.view?.key && !element.querySelector('dialog[open]')) this.view.key(event);
    });
  }

  async start() {
    try {
      this.me = await ask('me');
      this.keeper = new Keeper(this.me.rater, (state, details) => this.told(state, details));
      if (this.me.open) await this.keeper.flush().catch(() => {});
      this.route();
    } catch (trouble) { this.trouble(trouble, () => this.start()); }
  }

  route() {
    const {open, consent, finished, position} = this.me;
    if (!open && !finished) this.closed();
    else if (finished) this.thanks();
    else if (!consent) this.welcome();
    else if (position === null) this.questions();
    else this.open(position);
  }

  // --- frame around every view -----------------------------------------------------------------
  show(name, content, {position = null, practice = false} = {}) {
    this.view?.end?.();
    this.view = null;
    this.saved = h('span', {class: 'rate-saved', role: 'status', 'aria-live': 'polite'}, this.savedText || '');
    const done = position === null ? this.me.done : position + 1;
    const progress = h('span', {class: 'rate-progress'}, h('progress', {max: this.me.screens, value: position === null ? this.me.done : position, 'aria-label': 'Pairs done'}),
      h('b', {}, position === null ? '' : `${done} of ${this.me.screens}`));
    const head = h('div', {class: 'rate-top'}, h('strong', {class: 'rate-who'}, this.me.pseudonym), progress,
      practice ? h('span', {class: 'rate-chip'}, 'Practice: not counted') : null, this.saved,
      button('Theme', () => this.theme(), {class: 'rate-button quiet', 'aria-label': 'Switch between light and dark'}),
      button('Help ?', () => this.help(), {class: 'rate-button quiet', disabled: !this.rubric}));
    this.root.dataset.view = name;
    this.root.replaceChildren(head, content);
  }

  paper(name, title, ...content) {
    this.show(name, h('div', {class: 'rate-paper'}, h('h1', {}, title), content));
    this.root.querySelector('.rate-paper input, .rate-paper button.primary')?.focus();
  }

  theme() {
    const dark = document.body.classList.toggle('dark');
    try { localStorage.setItem('t2v-theme', dark ? 'dark' : 'light'); } catch (error) { /* private window */ }
  }

  told(state, details) {
    const texts = {saving: 'saving …', offline: 'not saved yet, trying again'};
    if (state === 'saved') this.savedText = `saved ${clockTime(details)}`;
    else if (texts[state]) this.savedText = texts[state];
    if (this.saved) { this.saved.textContent = this.savedText || ''; this.saved.classList.toggle('warn', state === 'offline'); }
    if (state === 'conflict') this.lock();
    if (state === 'signed_out' || state === 'refused') this.trouble(details);
    if (state === 'study_closed') { this.me.open = false; this.closed(); }
  }

  // Another window was newer: nothing more is written from here.
  lock() {
    if (this.locked) return;
    this.locked = true;
    const box = dialog('Updated in another window', h('p', {}, 'This pair was changed in another window or on another device after you opened it here. Reload to see what stands.'),
      [['Reload', () => location.reload(), 'primary']]);
    box.addEventListener('cancel', (event) => event.preventDefault());
  }

  trouble(trouble, again) {
    if (!(trouble instanceof Trouble)) { console.error(trouble); }
    if (trouble.code === 'study_closed') { this.me.open = false; this.closed(); return; }
    const stays = this.view && trouble.code !== 'signed_out';
    if (stays) { if (this.view.message) this.view.message.textContent = `${trouble.message} ${trouble.hint || ''}`; return; }
    const title = trouble.code === 'signed_out' ? 'You are signed out' : 'This did not work';
    this.root.dataset.view = 'trouble';
    this.root.replaceChildren(h('div', {class: 'rate-paper'}, h('h1', {}, title), h('p', {}, `${trouble.message} ${trouble.hint || ''}`),
      h('div', {class: 'rate-actions'}, button('Try again', again || (() => location.reload()), {class: 'rate-button primary'}))));
  }

  // --- views -----------------------------------------------------------------------------------
  welcome() {
    const agree = h('input', {type: 'checkbox', id: 'rate-agree', onchange: () => { begin.disabled = !agree.checked; }});
    const begin = button('Begin', async () => {
      try { await ask('consent', {}); this.me.consent = true; this.route(); } catch (trouble) { this.trouble(trouble); }
    }, {class: 'rate-button primary', disabled: true});
    this.paper('welcome', this.me.study,
      h('p', {class: 'rate-lead'}, 'Thank you for taking part. You will see short explainer videos, always two at a time on the same topic, and judge each of them.'),
      h('ul', {},
        h('li', {}, `There are ${this.me.screens} pairs. The first ones are for practice and are not counted. Some pairs come again, and some may look alike: judge what you see.`),
        h('li', {}, 'Watch both videos to the end, as often as you like. They play together; you can pause, go frame by frame and slow them down.'),
        h('li', {}, 'Score each side from 1 to 5 on five scales. Rest the pointer on a scale’s name, or press ?, to read what 1, 3 and 5 mean. If a video does not let you judge something, choose “?” and say why.'),
        h('li', {}, 'Every change is saved at once. Close the window whenever you like: your link brings you back to where you were, on any computer.'),
        h('li', {}, 'Please do not talk about the videos with other examiners before the study has ended.')),
      h('p', {}, `You appear as “${this.me.pseudonym}”. Your scores, comments, what you watched and the times are kept for the evaluation, without your name. Taking part is voluntary; you may stop at any time.`),
      h('label', {class: 'rate-agree', for: 'rate-agree'}, agree, ' I have read this and agree to take part.'),
      h('div', {class: 'rate-actions'}, begin));
  }

  async open(position) {
    try {
      if (this.keeper.waiting.size) await this.keeper.flush().catch(() => {});
      const screen = await ask(`screens/${position}`);
      this.rubric = screen.rubric;
      const scoring = new Scoring(this, screen);
      this.show('scoring', scoring.element, {position, practice: screen.practice});
      this.view = scoring;
      scoring.begin();
      if (this.practised && !screen.practice && !screen.done) scoring.message.textContent = 'From this pair on, your scores count.';
      this.practised = screen.practice && this.practised;
    } catch (trouble) { this.trouble(trouble, () => this.open(position)); }
  }

  async submitted(scoring, answer) {
    this.me.done = answer.done;
    this.me.position = answer.next;
    const {position, practice} = scoring.screen, following = position + 1;
    const onward = () => {
      if (answer.next !== null && (following >= this.me.screens || following > answer.next)) this.open(answer.next);
      else if (following < this.me.screens) this.open(following);
      else this.questions();
    };
    if (practice) this.feedback(scoring, onward);
    else onward();
  }

  feedback(scoring, onward) {
    const notes = practiceNotes(scoring);
    this.practised = true;
    this.paper('feedback', 'Practice: how that went',
      h('ul', {}, notes.map((note) => h('li', {}, note))),
      h('p', {}, 'Nothing of a practice pair is counted. You may go back to it and try again.'),
      h('div', {class: 'rate-actions'}, button('Back to this pair', () => this.open(scoring.screen.position)), button('Go on', onward, {class: 'rate-button primary'})));
  }

  async questions() {
    try {
      const asked = await ask('questions');
      if (!asked.ready) { this.open(this.me.position ?? 0); return; }
      for (const row of asked.screens) this.keeper.knows({assignment: row.assignment, kind: 'guess'}, row.guess?.revision);
      const rows = asked.screens.map((row) => new Guess(this, row, asked.confidence));
      const message = h('p', {class: 'rate-message', role: 'status'});
      const finish = button('Finish', async () => {
        const open = rows.filter((row) => !row.given.side);
        if (open.length) { message.textContent = `Still open: ${open.length} of ${rows.length}. “Cannot tell” is an answer.`; open[0].side.focus(); return; }
        try {
          await this.keeper.flush();
          await ask('finish', {});
          this.me.finished = true;
          this.thanks();
        } catch (trouble) { message.textContent = `${trouble.message} ${trouble.hint || ''}`; if (trouble.code === 'study_closed') this.trouble(trouble); }
      }, {class: 'rate-button primary'});
      this.paper('questions', 'One last question', h('p', {class: 'rate-lead'}, asked.question), h('div', {class: 'rate-guesses'}, rows.map((row) => row.element)),
        h('div', {class: 'rate-actions'}, button('Back to the pairs', () => this.open(this.me.screens - 1)), message, finish));
      rows.find((row) => !row.given.side)?.side.focus();
    } catch (trouble) { this.trouble(trouble, () => this.questions()); }
  }

  thanks() {
    this.paper('thanks', 'Thank you', h('p', {class: 'rate-lead'}, 'All your scores are saved. You can close this window.'),
      this.me.open ? h('p', {}, 'Until the study is closed you may come back through your link and change an answer.') : null,
      h('div', {class: 'rate-actions'}, this.me.open ? button('Look through my answers', () => this.open(0)) : null,
        button('Sign out of this browser', () => this.leave())));
  }

  closed() {
    this.paper('closed', 'The study is closed', h('p', {class: 'rate-lead'}, 'Nothing can be changed any more. What you scored is kept. Thank you for your work.'),
      h('div', {class: 'rate-actions'}, button('Sign out of this browser', () => this.leave())));
  }

  async leave() { try { await this.keeper?.flush(); } catch (error) { /* kept here */ } await fetch('api/leave', {method: 'POST', credentials: 'same-origin'}); location.replace('./'); }

  help() {
    if (!this.rubric) return;
    const criteria = this.rubric.criteria.map(({label, hint, anchors}) => h('section', {}, h('h3', {}, label), h('p', {}, hint),
      h('dl', {}, Object.entries(anchors).map(([level, text]) => [h('dt', {}, level), h('dd', {}, text)]))));
    const keys = h('dl', {class: 'rate-keys'}, KEYS.map(([key, what]) => [h('dt', {}, h('kbd', {}, key)), h('dd', {}, what)]));
    dialog('Help', h('div', {class: 'rate-help'}, h('div', {}, h('p', {}, this.rubric.instruction), criteria), h('aside', {}, h('h3', {}, 'Keyboard'), keys)),
      [['Close', null, 'primary']]);
  }
}

// One pair of the last question.
class Guess {
  constructor(app, row, confidence) {
    this.given = {side: row.guess?.side || '', confidence: row.guess?.confidence ?? null};
    for (const item of app.keeper.waiting.values()) {
      if (item.event.kind === 'guess' && item.event.assignment === row.assignment) this.given = {side: item.event.side, confidence: item.event.confidence};
    }
    const note = () => { if (this.given.side) app.keeper.note({assignment: row.assignment, kind: 'guess', ...this.given}); };
    const sides = [['left', 'Left'], ['right', 'Right'], ['unsure', 'Cannot tell']];
    this.side = new Choice(`${row.topic}: which one?`, sides.map(([value, label]) => ({value, label, kind: 'wide'})), (value) => { this.given.side = value; note(); });
    this.sure = new Choice(`${row.topic}: how sure?`, Object.entries(confidence).map(([value, label]) => ({value: Number(value), label, kind: 'wide'})),
      (value) => { this.given.confidence = value; note(); });
    this.side.show(this.given.side || null);
    this.sure.show(this.given.confidence);
    const films = h('div', {class: 'rate-again', hidden: true});
    const look = button('Show the pair', () => {
      if (!films.childElementCount) {
        for (const side of ['left', 'right']) films.append(h('figure', {}, h('video', {src: `media/${row[side].token}.mp4`, controls: true, muted: true, playsinline: true,
            controlslist: 'nodownload', 'aria-label': `${sideName[side]} video`}), h('figcaption', {}, sideName[side])));
      }
      films.hidden = !films.hidden;
      look.textContent = films.hidden ? 'Show the pair' : 'Hide the pair';
    }, {class: 'rate-button quiet'});
    this.element = h('section', {class: 'rate-guess'}, h('h2', {}, row.topic), look, this.side.element, this.sure.element, films);
  }
}

// What a practice pair can teach without knowing a right answer.
function practiceNotes(scoring) {
  const values = (side) => scoring.rows.map(({choice}) => choice[side].value).filter(Number.isInteger);
  const left = values('left'), right = values('right'), all = [...left, ...right];
  const mean = (list) => list.reduce((sum, value) => sum + value, 0) / (list.length || 1);
  const notes = [];
  if (all.length > 3 && new Set(all).size === 1) notes.push('You gave the same score everywhere. Look at each scale by itself: a video can be correct and hard to read, or pretty and wrong.');
  if (new Set(left).size > 1 || new Set(right).size > 1) notes.push('You told the scales apart. Keep charging each fault to the one scale that it fits best.');
  const lean = mean(left) - mean(right), winner = scoring.preference.winner;
  if (Math.abs(lean) >= 0.5 && winner !== 'tie' && (lean > 0) !== (winner === 'left')) notes.push('Your scores lean to one side and your overall preference to the other. That may well be so; just check that the sides are not mixed up.');
  if (['left', 'right'].some((side) => !scoring.clock.watched(side))) notes.push('Not both videos ran to their end. Please watch each of them once before you save.');
  if (all.length < 10) notes.push('You used “cannot judge”. That is right where a video does not let you judge; a low score says that it is bad.');
  notes.push('2 and 4 lie between the described levels. The whole range from 1 to 5 is there to be used.');
  return notes;
}

try {
  const kept = localStorage.getItem('t2v-theme'), asked = new URLSearchParams(location.search).get('__theme');
  if (kept && !asked) document.body.classList.toggle('dark', kept === 'dark');
} catch (error) { /* private window */ }
const app = new App(element.querySelector('.rate'));
app.start();
