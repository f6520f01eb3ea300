// Two videos on one clock. Frames count from 0; a seek goes to the middle of a frame, so that rounding never shows its neighbour.
class Clock {
  // films: {left, right} video elements; hooks: moved(), changed(), watched(side, exposure), failed(side)
  constructor(films, hooks) {
    this.films = films;
    this.hooks = hooks;
    this.rate = 1; this.loop = false; this.playing = false; this.beat = 0; this.mended = 0; this.resyncs = 0;
    for (const side of ['left', 'right']) this.listen(side);
  }

  load(screen) {
    this.pause();
    this.fps = screen.left.fps;
    this.frames = Math.max(screen.left.frames, screen.right.frames);
    this.seen = {};
    for (const side of ['left', 'right']) {
      const clip = screen[side], before = screen.exposure[side] || {};
      this.seen[side] = {seconds: before.seconds || 0, plays: before.plays || 0, reached_end: !!before.reached_end, failed: false,
        duration: clip.duration_s, frames: clip.frames, from: null};
      this.films[side].src = `media/${clip.token}.mp4`;
      this.films[side].load();
    }
    this.alike = ['fps', 'frames', 'width', 'height'].every((name) => screen.left[name] === screen.right[name]);
    this.hooks.moved();
    this.hooks.changed();
  }

  each(action) { for (const side of ['left', 'right']) if (!this.seen?.[side].failed) action(this.films[side], side); }
  get leader() { return this.films[this.seen?.left.failed ? 'right' : 'left']; }
  get usable() { return !!this.seen && !(this.seen.left.failed && this.seen.right.failed); }
  get frame() { return this.seen ? Math.max(0, Math.min(this.frames - 1, Math.floor(this.leader.currentTime * this.fps + 1e-3))) : 0; }

  listen(side) {
    const film = this.films[side];
    film.addEventListener('ended', () => { this.account(side, true); if (this.playing && film === this.leader) this.atEnd(); });
    film.addEventListener('timeupdate', () => this.hooks.moved());
    film.addEventListener('seeked', () => this.hooks.moved());
    film.addEventListener('loadeddata', () => { film.playbackRate = this.rate; this.hooks.changed(); });
    film.addEventListener('error', () => {
      if (!this.seen || !film.getAttribute('src')) return;
      this.seen[side].failed = true;
      this.pause();
      this.hooks.failed(side);
    });
  }

  toggle() { this.playing ? this.pause() : this.play(); }

  async play() {
    if (!this.usable || this.playing) return;
    if (this.frame >= this.frames - 1) this.seek(0, true);
    this.playing = true;
    this.each((film, side) => { film.playbackRate = this.rate; this.seen[side].plays += 1; this.seen[side].from = film.currentTime; });
    this.hooks.changed();
    const started = [];
    this.each((film) => started.push(film.play()));
    try { await Promise.all(started); } catch (error) { if (error.name !== 'AbortError') this.pause(); }
    cancelAnimationFrame(this.beat);
    this.tick();
  }

  pause() {
    if (!this.seen) return;
    this.playing = false;
    cancelAnimationFrame(this.beat);
    this.each((film, side) => { film.pause(); this.account(side, false); });
    this.hooks.changed();
    this.hooks.moved();
  }

  restart() { if (this.usable) { this.seek(0, true); this.playing ? this.each((film) => film.play()) : this.play(); } }

  step(frames) {
    if (!this.usable) return;
    this.pause();
    this.seek(this.frame + frames);
  }

  // To the middle of a frame; to its start where the video is to be played from there.
  seek(frame, start = false) {
    const wanted = Math.max(0, Math.min(this.frames - 1, Math.round(frame)));
    this.each((film, side) => {
      this.account(side, false);
      film.currentTime = start ? wanted / this.fps : (wanted + 0.5) / this.fps;
      if (this.playing) this.seen[side].from = film.currentTime;
    });
    this.hooks.moved();
  }

  setRate(rate) { this.rate = rate; this.each((film) => { film.playbackRate = rate; }); this.hooks.changed(); }
  setLoop(loop) { this.loop = loop; this.hooks.changed(); }

  atEnd() {
    if (this.loop) {
      this.seek(0, true);
      this.each((film, side) => { this.seen[side].plays += 1; film.play(); });
    } else this.pause();
  }

  // While playing: the right one is brought back when it is more than a frame away, at most four times a second.
  tick() {
    if (!this.playing) return;
    const {left, right} = this.films;
    const both = !this.seen.left.failed && !this.seen.right.failed;
    if (both && !left.ended && !right.ended && !right.seeking && performance.now() - this.mended > 250
        && Math.abs(left.currentTime - right.currentTime) > 1 / this.fps) {
      right.currentTime = left.currentTime;
      this.mended = performance.now();
      this.resyncs += 1;
    }
    this.hooks.moved();
    this.beat = requestAnimationFrame(() => this.tick());
  }

  // What was really played, without what was jumped over.
  account(side, ended) {
    const seen = this.seen[side], film = this.films[side];
    if (seen.from !== null) seen.seconds += Math.max(0, film.currentTime - seen.from);
    seen.from = this.playing && !ended ? film.currentTime : null;
    let played = 0;
    for (let i = 0; i < film.played.length; i++) played += film.played.end(i) - film.played.start(i);
    const last = ended || film.currentTime >= seen.duration - 1.5 / this.fps;
    if (last && played >= 0.9 * seen.duration - 1.5 / this.fps) seen.reached_end = true;
    this.hooks.watched(side, {seconds: Math.round(seen.seconds * 100) / 100, plays: seen.plays, reached_end: seen.reached_end, failed: seen.failed});
  }

  watched(side) { return !!this.seen && (this.seen[side].reached_end || this.seen[side].failed); }
}
