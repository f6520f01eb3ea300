// Small pieces of the page. Text goes in as text, never as markup.
function h(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith('on')) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, '');
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

const button = (label, act, attributes = {}) => h('button', {type: 'button', class: 'rate-button', onclick: act, ...attributes}, label);

// Buttons of which at most one is chosen; none at the start. choices: [{value, label, name, hint, kind}]
class Choice {
  constructor(label, choices, chosen, attributes = {}) {
    this.chosen = chosen;
    this.value = null;
    this.dots = choices.map((choice) => h('button', {
      type: 'button', role: 'radio', class: `rate-dot ${choice.kind || ''}`, 'aria-label': choice.name || choice.label, title: choice.hint || choice.name,
      'data-value': String(choice.value), 'aria-checked': 'false', tabindex: '-1',
      onclick: () => this.choose(choice.value),
    }, choice.label));
    this.values = choices.map((choice) => choice.value);
    this.element = h('div', {role: 'radiogroup', class: 'rate-choice', 'aria-label': label, ...attributes}, this.dots);
    this.element.addEventListener('keydown', (event) => this.key(event));
    this.show(null);
  }

  show(value) {
    this.value = value;
    const at = this.values.indexOf(value);
    this.dots.forEach((dot, i) => {
      dot.setAttribute('aria-checked', String(i === at));
      dot.tabIndex = i === Math.max(at, 0) ? 0 : -1;
    });
  }

  choose(value) {
    if (this.element.getAttribute('aria-disabled') === 'true') return;
    const same = value === this.value;
    this.show(value);
    if (!same) this.chosen(value);
  }

  focus() { this.dots[Math.max(this.values.indexOf(this.value), 0)].focus(); }

  key(event) {
    const way = {ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1}[event.key];
    if (!way || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    const at = this.values.indexOf(this.value);
    const next = at < 0 ? (way > 0 ? 0 : this.values.length - 1) : (at + way + this.values.length) % this.values.length;
    this.choose(this.values[next]);
    this.dots[next].focus();
  }
}

function dialog(title, content, actions) {
  const box = h('dialog', {class: 'rate-dialog', 'aria-label': title}, h('h2', {}, title), content,
    h('div', {class: 'rate-actions'}, actions.map(([label, act, kind]) => button(label, () => { box.close(); act && act(); }, {class: `rate-button ${kind || ''}`}))));
  box.addEventListener('close', () => box.remove());
  element.append(box);
  box.showModal();
  box.scrollTop = 0;
  return box;
}

const clockTime = (stamp) => new Date(stamp).toLocaleTimeString([], {hour: '2-digit', minute: '2-digit', second: '2-digit', hour12: false});
const writing = (target) => !!target.closest('textarea, input:not([type=range]), select, [contenteditable]');
const sideName = {left: 'Left', right: 'Right'};
