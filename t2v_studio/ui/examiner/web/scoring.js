// One pair: players, five scales a side, comments, preference. Every change is noted at once.
const SPEEDS = [0.5, 1], CANNOT = 'cannot';

class Scoring {
  constructor(app, screen) {
    this.app = app; this.screen = screen; this.rubric = screen.rubric;
    this.now = {row: 0, side: 'left'};
    this.warned = false;
    this.texts = {left: screen.comments.left?.text || '', right: screen.comments.right?.text || ''};
    this.preference = {winner: screen.preference?.winner || '', confidence: screen.preference?.confidence ?? null};
    this.last = {};
    this.remember();
    this.element = h('div', {class: 'rate-scoring'}, this.topic(), this.stage(), this.scales(), this.bottom(), this.foot());
    this.clock = new Clock(this.films, {
      moved: () => this.moved(), changed: () => this.changed(), watched: (side, seen) => this.exposure(side, seen), failed: (side) => this.failed(side),
    });
    this.fill();
  }

  begin() { this.clock.load(this.screen); this.choiceAt(0, 'left').focus({preventScroll: true}); this.mark(); }
  end() { this.clock.pause(); for (const film of Object.values(this.films)) { film.removeAttribute('src'); film.load(); } }

  // Revisions from which this window's changes start.
  remember() {
    const {assignment, answers, comments, preference} = this.screen, keeper = this.app.keeper;
    for (const side of ['left', 'right']) {
      for (const {key} of this.rubric.criteria) keeper.knows({assignment, kind: 'score', side, criterion: key}, answers[side][key]?.revision);
      keeper.knows({assignment, kind: 'comment', side}, comments[side]?.revision);
    }
    keeper.knows({assignment, kind: 'preference'}, preference?.revision);
  }

  note(event) { if (this.screen.open) this.app.keeper.note({assignment: this.screen.assignment, ...event}); this.check(); }

  topic() {
    return h('header', {class: 'rate-topic'}, h('h1', {}, this.screen.topic), h('p', {title: this.screen.objective}, this.screen.objective));
  }

  // --- players ---------------------------------------------------------------------------------
  stage() {
    this.films = {}; this.faults = {}; this.ticks = {};
    const figures = ['left', 'right'].map((side) => {
      this.films[side] = h('video', {muted: true, playsinline: true, preload: 'auto', disablepictureinpicture: true, tabindex: '-1', 'aria-label': `${sideName[side]} video`,
        onclick: () => this.clock.toggle(), oncontextmenu: (event) => event.preventDefault()});
      this.films[side].muted = true;
      this.faults[side] = h('div', {class: 'rate-fault', role: 'alert', hidden: true}, h('p', {}, 'This browser could not play this video.'),
        button('Try again', () => this.reload()));
      this.ticks[side] = h('span', {class: 'rate-tick'}, '');
      return h('figure', {class: 'rate-film'}, this.films[side], this.faults[side], h('figcaption', {}, sideName[side], this.ticks[side]));
    });
    this.differ = h('p', {class: 'rate-differ', role: 'status', hidden: true}, 'The two videos differ in size or length; the shorter one waits on its last frame.');
    this.pair = h('div', {class: 'rate-stage'}, h('div', {class: 'rate-films'}, figures), this.differ, this.transport());
    return this.pair;
  }

  transport() {
    this.playButton = button('Play', () => this.clock.toggle(), {class: 'rate-button primary rate-play', title: 'Play or pause both (space)'});
    this.scrub = h('input', {type: 'range', min: 0, max: 1, step: 1, value: 0, class: 'rate-scrub', 'aria-label': 'Frame', oninput: () => this.scrubbed()});
    this.readout = h('output', {class: 'rate-readout'}, '');
    this.speeds = SPEEDS.map((rate) => button(`${rate}×`, () => this.clock.setRate(rate), {'data-rate': rate, title: `Speed ${rate}×`}));
    this.loopButton = button('Loop', () => this.clock.setLoop(!this.clock.loop), {title: 'Play again and again (L)'});
    return h('div', {class: 'rate-transport', role: 'group', 'aria-label': 'Both videos'}, this.playButton,
      button('Restart', () => this.clock.restart(), {title: 'From the start (R)'}),
      button('◂', () => this.clock.step(-1), {title: 'One frame back (,)', 'aria-label': 'One frame back'}),
      button('▸', () => this.clock.step(1), {title: 'One frame on (.)', 'aria-label': 'One frame on'}),
      this.scrub, this.readout, h('span', {class: 'rate-group'}, this.speeds), this.loopButton,
      button('Full screen', () => this.fullScreen(), {title: 'Both videos on the whole screen (F)'}));
  }

  scrubbed() { this.clock.pause(); this.clock.seek(Number(this.scrub.value)); }

  fullScreen() {
    if (document.fullscreenElement) document.exitFullscreen();
    else this.pair.requestFullscreen?.().catch(() => {});
  }

  moved() {
    const {clock} = this;
    if (!clock?.seen) return;
    this.scrub.max = clock.frames - 1;
    if (document.activeElement !== this.scrub || clock.playing) this.scrub.value = clock.frame;
    const time = (frame) => `${(frame / clock.fps).toFixed(1)} s`;
    this.readout.textContent = `${time(clock.frame)} / ${time(clock.frames)} · frame ${clock.frame + 1} of ${clock.frames}`;
  }

  changed() {
    const {clock} = this;
    if (!clock?.seen) return;
    this.playButton.textContent = clock.playing ? 'Pause' : 'Play';
    this.playButton.disabled = !clock.usable;
    this.speeds.forEach((one) => one.setAttribute('aria-pressed', String(Number(one.dataset.rate) === clock.rate)));
    this.loopButton.setAttribute('aria-pressed', String(clock.loop));
    this.differ.hidden = clock.alike;
    for (const side of ['left', 'right']) this.ticks[side].textContent = clock.watched(side) ? ' · watched' : '';
  }

  failed(side) { this.faults[side].hidden = false; this.exposure(side, {...this.last[side], failed: true}); this.changed(); }
  reload() { for (const side of ['left', 'right']) this.faults[side].hidden = true; this.clock.load({...this.screen, exposure: this.last}); }

  exposure(side, seen) {
    const {seconds = 0, plays = 0, reached_end = false, failed = false} = seen, told = {seconds, plays, reached_end, failed};
    if (JSON.stringify(told) === JSON.stringify(this.last[side]) || (!plays && !failed)) return;
    this.last[side] = told;
    if (this.screen.open) this.app.keeper.note({assignment: this.screen.assignment, kind: 'exposure', side, ...told});
  }

  // --- scales ----------------------------------------------------------------------------------
  scales() {
    this.rows = this.rubric.criteria.map((criterion, i) => this.row(criterion, i));
    return h('div', {class: 'rate-rows'}, this.rows.map((row) => row.element));
  }

  row(criterion, i) {
    const row = {criterion, choice: {}, words: {}, cell: {}};
    for (const side of ['left', 'right']) {
      const levels = this.rubric.scale.map((value) => ({value, label: String(value), name: `${value}: ${this.words(criterion, value)}`}));
      const label = `${criterion.label}, ${side}`;
      row.choice[side] = new Choice(label, [...levels, {value: CANNOT, label: '?', name: 'Cannot judge (say why in the comment)', kind: 'cannot'}],
        (value) => this.scored(criterion, side, value));
      row.words[side] = h('span', {class: 'rate-words', 'aria-hidden': 'true'});
      row.cell[side] = h('div', {class: `rate-cell ${side}`}, side === 'left' ? [row.words.left, row.choice.left.element] : [row.choice.right.element, row.words.right]);
      row.cell[side].addEventListener('focusin', () => { this.now = {row: i, side}; this.mark(); });
      row.choice[side].element.addEventListener('pointerover', (event) => this.tell(row, side, event.target.dataset.value));
      row.choice[side].element.addEventListener('pointerleave', () => this.tell(row, side));
    }
    const about = `rate-about-${criterion.key}`;
    const anchors = Object.entries(criterion.anchors).map(([level, text]) => [h('dt', {}, level), h('dd', {}, text)]);
    const name = h('div', {class: 'rate-criterion'}, h('button', {type: 'button', class: 'rate-name', 'aria-describedby': about}, criterion.label),
      h('div', {class: 'rate-about', role: 'tooltip', id: about}, h('p', {}, criterion.hint), h('dl', {}, anchors)));
    row.element = h('div', {class: 'rate-row', 'data-criterion': criterion.key}, row.cell.left, name, row.cell.right);
    return row;
  }

  words(criterion, value) {
    if (value === CANNOT) return 'Cannot be judged: say why in the comment.';
    return criterion.anchors[value] || {2: 'Between 1 and 3.', 4: 'Between 3 and 5.'}[value] || '';
  }

  tell(row, side, hovered) {
    const value = hovered === undefined ? row.choice[side].value : hovered === CANNOT ? CANNOT : Number(hovered);
    row.words[side].textContent = value === null ? '' : this.words(row.criterion, value);
  }

  scored(criterion, side, value) {
    const cannot = value === CANNOT;
    this.tell(this.rows.find((row) => row.criterion === criterion), side);
    this.note({kind: 'score', side, criterion: criterion.key, value: cannot ? null : value, cannot_judge: cannot});
  }

  choiceAt(row, side) { return this.rows[row].choice[side]; }

  mark() {
    this.rows.forEach((row, i) => ['left', 'right'].forEach((side) => row.cell[side].classList.toggle('now', i === this.now.row && side === this.now.side)));
  }

  // --- comments and preference -----------------------------------------------------------------
  bottom() {
    this.areas = {};
    const area = (side) => {
      this.areas[side] = h('textarea', {class: 'rate-comment', rows: 2, maxlength: 4000, 'aria-label': `Comment on the ${side} video`,
        oninput: () => { this.texts[side] = this.areas[side].value; this.note({kind: 'comment', side, comment: this.texts[side]}); }});
      return this.areas[side];
    };
    const winners = [['left', 'Left', '← Left is better'], ['tie', 'Tie', 'Neither is better'], ['right', 'Right', 'Right is better →']];
    this.winner = new Choice('Overall preference', winners.map(([value, label, name]) => ({value, label, name, kind: 'wide'})),
      (value) => { this.preference.winner = value; this.prefer(); }, {id: 'rate-winner'});
    const sure = Object.entries(this.rubric.confidence).map(([value, label]) => ({value: Number(value), label, kind: 'wide'}));
    this.sure = new Choice('How sure are you of the preference?', sure, (value) => { this.preference.confidence = value; this.prefer(); }, {id: 'rate-sure'});
    this.preferBox = h('div', {class: 'rate-prefer'}, h('p', {}, this.rubric.preference), this.winner.element, this.sure.element);
    return h('div', {class: 'rate-bottom'}, area('left'), this.preferBox, area('right'));
  }

  prefer() { if (this.preference.winner) this.note({kind: 'preference', ...this.preference}); else this.check(); }

  foot() {
    this.message = h('p', {class: 'rate-message', role: 'status'});
    this.next = button('Save & next', () => this.submit(), {class: 'rate-button primary rate-next', title: 'Ctrl + Enter'});
    this.next.disabled = !this.screen.open;
    return h('footer', {class: 'rate-foot'}, button('Back', () => this.app.open(this.screen.position - 1), {disabled: this.screen.position === 0}), this.message, this.next);
  }

  // What was answered before, with what this browser still holds unsent on top.
  fill() {
    const {answers} = this.screen;
    for (const row of this.rows) {
      for (const side of ['left', 'right']) {
        const known = answers[side][row.criterion.key];
        row.choice[side].show(known ? (known.cannot_judge ? CANNOT : known.value) : null);
        this.tell(row, side);
      }
    }
    for (const item of this.app.keeper.waiting.values()) this.overlay(item.event);
    for (const side of ['left', 'right']) this.areas[side].value = this.texts[side];
    this.winner.show(this.preference.winner || null);
    this.sure.show(this.preference.confidence);
    if (!this.screen.open) this.message.textContent = 'The study is closed: this can be read, not changed.';
    this.check();
  }

  overlay(event) {
    if (event.assignment !== this.screen.assignment) return;
    const row = this.rows.find((one) => one.criterion.key === event.criterion);
    if (event.kind === 'score' && row) { row.choice[event.side].show(event.cannot_judge ? CANNOT : event.value); this.tell(row, event.side); }
    if (event.kind === 'comment') this.texts[event.side] = event.comment;
    if (event.kind === 'preference') this.preference = {winner: event.winner, confidence: event.confidence};
  }

  // --- what is still open ----------------------------------------------------------------------
  reasons(side) {
    const low = this.rubric.comment_required.scores;
    return this.rows.filter(({choice}) => choice[side].value === CANNOT || low.includes(choice[side].value)).map(({criterion}) => criterion.label);
  }

  // Shows which comments are needed; returns what is open: [{words, go, mark}]
  check() {
    const open = [];
    if (!this.areas?.right || !this.preferBox) return open;
    this.rows.forEach((row, i) => ['left', 'right'].forEach((side) => {
      if (row.choice[side].value === null) open.push({words: `${row.criterion.label} (${side})`, go: () => this.choiceAt(i, side).focus(), mark: row.cell[side]});
      else row.cell[side].classList.remove('open');
    }));
    for (const side of ['left', 'right']) {
      const why = this.reasons(side), needed = why.length > 0 && !this.texts[side].trim();
      this.areas[side].placeholder = why.length ? `Say why: ${why.join(', ')}` : `Comment on the ${side} video`;
      this.areas[side].classList.toggle('needed', needed);
      if (needed) open.push({words: `a comment on the ${side} video`, go: () => this.areas[side].focus(), mark: this.areas[side]});
      else this.areas[side].classList.remove('open');
    }
    if (!this.preference.winner) open.push({words: 'your overall preference', go: () => this.winner.focus(), mark: this.preferBox});
    else this.preferBox.classList.remove('open');
    if (this.message?.dataset.open && !open.length) { this.message.textContent = ''; delete this.message.dataset.open; }
    return open;
  }

  showOpen(open) {
    open.forEach(({mark}) => mark.classList.add('open'));
    const more = open.length > 3 ? ` and ${open.length - 3} more` : '';
    this.message.textContent = `Still open: ${open.slice(0, 3).map((item) => item.words).join(', ')}${more}.`;
    this.message.dataset.open = 'yes';
    open[0].go();
  }

  async submit() {
    if (this.busy || !this.screen.open) return;
    const open = this.check();
    if (open.length) { this.showOpen(open); return; }
    this.clock.pause();
    const unseen = ['left', 'right'].filter((side) => !this.clock.watched(side));
    if (unseen.length && !this.warned) {
      this.warned = true;
      dialog('Not watched to the end', h('p', {}, `Please watch the ${unseen.join(' and the ')} video to the end once before you save. If that is not possible, save anyway; it is noted.`),
        [['Save anyway', () => this.submit()], ['Watch now', () => { this.clock.restart(); this.playButton.focus(); }, 'primary']]);
      return;
    }
    this.busy = true;
    this.next.disabled = true;
    try {
      await this.app.keeper.flush();
      if (this.app.locked) return;
      await this.app.submitted(this, await ask('submit', {assignment: this.screen.assignment}));
    } catch (trouble) {
      this.app.trouble(trouble);
      this.message.textContent = trouble.code === 'offline' ? 'Not saved yet: the server cannot be reached. Your answers are kept here; try again.' : trouble.message;
    } finally { this.busy = false; this.next.disabled = !this.screen.open; }
  }

  // --- keyboard --------------------------------------------------------------------------------
  key(event) {
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) { event.preventDefault(); this.submit(); return; }
    if (writing(event.target)) { if (event.key === 'Escape') this.choiceAt(this.now.row, this.now.side).focus(); return; }
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const act = this.action(event);
    if (act) { event.preventDefault(); act(); }
  }

  action(event) {
    const key = event.key.toLowerCase();
    const onButton = event.target.closest('button:not([role=radio])');
    if (key === ' ') return onButton ? null : () => this.clock.toggle();
    if (/^[1-5]$/.test(key)) return () => this.digit(Number(key), event.target);
    const keys = {
      ',': () => this.clock.step(-1), '.': () => this.clock.step(1), r: () => this.clock.restart(), l: () => this.clock.setLoop(!this.clock.loop), f: () => this.fullScreen(),
      '[': () => this.choiceAt(this.now.row, 'left').focus(), ']': () => this.choiceAt(this.now.row, 'right').focus(),
      n: () => this.put(CANNOT), '?': () => this.app.help(),
    };
    return keys[key];
  }

  digit(value, target) {
    for (const choice of [this.winner, this.sure]) {
      if (choice.element.contains(target)) { if (value <= choice.values.length) { choice.choose(choice.values[value - 1]); choice.focus(); } return; }
    }
    this.put(value);
  }

  put(value) { const choice = this.choiceAt(this.now.row, this.now.side); choice.choose(value); choice.focus(); }
}
