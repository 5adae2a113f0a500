"""The style and script of the page: plain CSS and JavaScript, no library."""

STYLE = """\
html, body { margin: 0; height: 100%; overflow: hidden; background: #fff; color: #1f2937;
  font: 14px/1.4 Helvetica, Arial, 'Liberation Sans', sans-serif; }
body { display: flex; flex-direction: column; }
header { display: flex; gap: 8px; align-items: center; padding: 8px 12px; border-bottom: 1px solid #e5e7eb; }
header input { width: 280px; padding: 5px 8px; border: 1px solid #9ca3af; border-radius: 6px; font: inherit; }
header button { padding: 4px 10px; border: 1px solid #9ca3af; border-radius: 6px; background: #f9fafb; font: inherit; }
#count { min-width: 64px; color: #4b5563; }
.hint { color: #6b7280; font-size: 12px; margin-left: auto; white-space: nowrap; overflow: hidden;
  text-overflow: ellipsis; }
main { position: relative; flex: 1; min-height: 0; }
#net { width: 100%; height: 100%; display: block; cursor: grab; touch-action: none; }
#net.moving { cursor: grabbing; }
.box { cursor: pointer; outline: none; }
.box:hover > rect, .box:focus > rect, .box.shown > rect { stroke-width: 2.5px; }
.box:focus-visible > rect { stroke: #111827; }
svg.searching .box:not(.hit) { opacity: .22; }
.box.current > rect { stroke: #b91c1c; stroke-width: 3px; }
path.edge.lit { stroke: #1d4ed8; stroke-width: 2.4px; }
#panel { position: absolute; top: 12px; right: 12px; max-width: min(430px, 90vw); max-height: calc(100% - 24px);
  overflow: auto; padding: 10px 14px; background: #fffffff5; border: 1px solid #d1d5db; border-radius: 8px;
  box-shadow: 0 4px 16px #0002; box-sizing: border-box; }
#panel.left { right: auto; left: 12px; }
#panel h2 { font-size: 14px; margin: 0 0 4px; overflow-wrap: anywhere; }
#panel h2:not(:first-child) { margin-top: 12px; padding-top: 8px; border-top: 1px solid #e5e7eb; }
#panel dl { display: grid; grid-template-columns: auto 1fr; gap: 1px 12px; margin: 0; font-size: 12.5px; }
#panel dt { color: #6b7280; }
#panel dd { margin: 0; overflow-wrap: anywhere; }
"""

SCRIPT = """\
'use strict';
const net = document.getElementById('net'), panel = document.getElementById('panel');
const search = document.getElementById('search'), count = document.getElementById('count');
const facts = new Map(Object.entries(JSON.parse(document.getElementById('facts').textContent)));
const boxes = [...net.querySelectorAll('.box')], edges = [...net.querySelectorAll('path.edge')];
const whole = { x: 0, y: 0, w: +net.dataset.width, h: +net.dataset.height };
let view = { ...whole }, pinned = null, hits = [], current = -1;

function apply() { net.setAttribute('viewBox', `${view.x} ${view.y} ${view.w} ${view.h}`); }
function fit() { view = { ...whole }; apply(); }
function zoom(factor, at) {
  const w = Math.min(Math.max(view.w * factor, 60), whole.w * 4), real = w / view.w;
  const p = at || { x: view.x + view.w / 2, y: view.y + view.h / 2 };
  view = { x: p.x - (p.x - view.x) * real, y: p.y - (p.y - view.y) * real, w, h: view.h * real };
  apply();
}
function point(event) {
  return new DOMPoint(event.clientX, event.clientY).matrixTransform(net.getScreenCTM().inverse());
}
function show(box) {
  boxes.forEach(other => other.classList.toggle('shown', other === box));
  const id = box ? box.dataset.id : null;
  edges.forEach(edge => {
    edge.classList.toggle('lit', box !== null && [edge.dataset.from, edge.dataset.to].includes(id));
  });
  panel.hidden = !box;
  if (box) {
    const r = box.getBoundingClientRect();
    panel.classList.toggle('left', r.left + r.width / 2 > 0.6 * net.clientWidth);
  }
  panel.replaceChildren();
  for (const layer of box ? facts.get(id) : []) {
    const title = document.createElement('h2'), list = document.createElement('dl');
    title.textContent = layer[0][1];
    for (const [name, value] of layer.slice(1)) {
      const dt = document.createElement('dt'), dd = document.createElement('dd');
      dt.textContent = name; dd.textContent = value; list.append(dt, dd);
    }
    panel.append(title, list);
  }
}
function reveal(box) {
  const r = box.querySelector('rect').getBBox(), w = Math.min(view.w, whole.w / 2.5, 900), h = w * view.h / view.w;
  view = { x: r.x + r.width / 2 - w / 2, y: r.y + r.height / 2 - h / 2, w, h };
  apply();
}
function inView(box) {
  const r = box.getBoundingClientRect(), n = net.getBoundingClientRect();
  return r.left >= n.left && r.right <= n.right && r.top >= n.top && r.bottom <= n.bottom;
}
function find() {
  const text = search.value.trim().toLowerCase();
  hits = text ? boxes.filter(box => box.dataset.text.includes(text)) : [];
  boxes.forEach(box => { box.classList.toggle('hit', hits.includes(box)); box.classList.remove('current'); });
  net.classList.toggle('searching', text !== '');
  count.textContent = text ? `${hits.length} found` : '';
  current = -1;
}
function step(by) {
  if (!hits.length) return;
  if (current >= 0) hits[current].classList.remove('current');
  current = (current + by + hits.length) % hits.length;
  const box = hits[current];
  box.classList.add('current'); count.textContent = `${current + 1} of ${hits.length}`;
  pinned = box; show(box); reveal(box);
}
for (const box of boxes) {
  const own = facts.get(box.dataset.id);
  box.dataset.text = own.flat(2).join(' ').toLowerCase();
  box.setAttribute('tabindex', '0'); box.setAttribute('role', 'button');
  box.setAttribute('aria-label', own.map(layer => `${layer[0][1]}, ${layer[1][1]}`).join('; '));
  box.querySelector('title').remove();
  box.addEventListener('pointerenter', () => { if (!drag) show(box); });
  box.addEventListener('pointerleave', () => { if (!drag) show(pinned); });
  box.addEventListener('focus', () => { pinned = box; show(box); if (!inView(box)) reveal(box); });
  box.addEventListener('click', () => { pinned = box; show(box); });
}
let drag = null;
net.addEventListener('pointerdown', event => { drag = { x: event.clientX, y: event.clientY, moved: false }; });
window.addEventListener('pointermove', event => {
  if (!drag) return;
  if (Math.abs(event.clientX - drag.x) + Math.abs(event.clientY - drag.y) < 3 && !drag.moved) return;
  const scale = net.getScreenCTM().a;
  view.x -= (event.clientX - drag.x) / scale; view.y -= (event.clientY - drag.y) / scale;
  drag = { x: event.clientX, y: event.clientY, moved: true };
  net.classList.add('moving'); apply();
});
window.addEventListener('pointerup', event => {
  if (drag && !drag.moved && !event.target.closest('.box, aside, header')) { pinned = null; show(null); }
  drag = null; net.classList.remove('moving');
});
net.addEventListener('wheel', event => {
  event.preventDefault(); zoom(Math.exp(Math.max(-60, Math.min(60, event.deltaY)) / 300), point(event));
}, { passive: false });
search.addEventListener('input', find);
document.addEventListener('keydown', event => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === 'Escape') { search.value = ''; find(); pinned = null; show(null); search.blur(); return; }
  if (event.target === search) {
    if (event.key === 'Enter') { event.preventDefault(); step(event.shiftKey ? -1 : 1); }
    return;
  }
  const move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
  if (move) { view.x += move[0] * view.w / 8; view.y += move[1] * view.h / 8; apply(); }
  else if (event.key === '+' || event.key === '=') zoom(0.8);
  else if (event.key === '-') zoom(1.25);
  else if (event.key === '0') fit();
  else if (event.key === '/') search.focus();
  else return;
  event.preventDefault();
});
document.getElementById('in').addEventListener('click', () => zoom(0.8));
document.getElementById('out').addEventListener('click', () => zoom(1.25));
document.getElementById('fit').addEventListener('click', fit);
fit();
"""
