# SPDX-License-Identifier: GPL-3.0-or-later
"""What is in the way of people who read a page by ear, by keyboard, or with weak eyes, as the browser itself sees it.

Contrast is that of WCAG 2.1, success criterion 1.4.3: 4.5, or 3 for large words. Names are those of the tree that the
browser shows to screen readers.
"""

NAMED = {"button", "link", "textbox", "searchbox", "combobox", "checkbox", "radio", "listbox", "slider", "image", "img",
         "table", "dialog", "log", "navigation", "region", "form", "radiogroup", "group", "complementary"}
MAY_BE_NAMELESS = {"form", "group"}  # without a name they are no landmark, and not announced

PAGE = r"""(() => {
  const found = [];
  const name = (e) => e.tagName.toLowerCase() + (e.id ? '#' + e.id : '') + (e.classList.length ? '.' + [...e.classList].join('.') : '');
  const colour = (text) => {
    const canvas = colour.canvas ??= new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = text;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = (top, under) => [0, 1, 2].map((i) => top[i] * top[3] + under[i] * (1 - top[3])).concat(1);
  const light = ([r, g, b]) => {
    const part = (v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  };
  const ground = (e) => {
    const layers = [];
    for (let at = e; at; at = at.parentElement) layers.push(colour(getComputedStyle(at).backgroundColor));
    const dark = matchMedia('(prefers-color-scheme: dark)').matches;
    return layers.reverse().reduce((under, top) => over(top, under), dark ? [18, 18, 18, 1] : [255, 255, 255, 1]);
  };
  const seen = (e) => e.checkVisibility({ opacityProperty: true, visibilityProperty: true }) && !e.closest('.hidden, :disabled');
  for (const e of document.querySelectorAll('body *')) {
    const words = [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
    if (!seen(e)) continue;
    const style = getComputedStyle(e);
    if (words || (e.placeholder && !e.value)) {
      const shown = words ? style : getComputedStyle(e, '::placeholder');
      const below = ground(e);
      let ink = colour(e instanceof SVGElement ? style.fill : shown.color);
      for (let at = e; at; at = at.parentElement) ink[3] *= getComputedStyle(at).opacity;
      ink = over(ink, below);
      const [a, b] = [light(ink), light(below)].sort((x, y) => y - x);
      const size = parseFloat(style.fontSize), bold = style.fontWeight >= 700;
      const least = size >= 24 || (bold && size >= 18.66) ? 3 : 4.5;
      const ratio = (a + 0.05) / (b + 0.05);
      if (ratio < least) found.push(`contrast ${ratio.toFixed(2)} below ${least}: ${name(e)} "${(e.textContent || e.placeholder).trim().slice(0, 30)}"`);
    }
    const scrolls = /auto|scroll/.test(style.overflowY + style.overflowX) &&
      (e.scrollHeight > e.clientHeight + 1 || e.scrollWidth > e.clientWidth + 1);
    if (scrolls && e !== document.body && e.tabIndex < 0 && !e.querySelector('a[href], button, input, textarea, [tabindex="0"]'))
      found.push(`it scrolls, and the keyboard cannot reach it: ${name(e)}`);
    if (e.tabIndex > 0) found.push(`its place in the order of focus is forced: ${name(e)}`);
  }
  const ids = [...document.querySelectorAll('[id]')].map((e) => e.id);
  for (const id of new Set(ids.filter((id, i) => ids.indexOf(id) !== i))) found.push(`an id stands there twice: ${id}`);
  for (const e of document.querySelectorAll('[aria-labelledby], [aria-describedby], [aria-controls], label[for]'))
    for (const id of ['aria-labelledby', 'aria-describedby', 'aria-controls', 'for'].flatMap((a) => (e.getAttribute(a) || '').split(' ')))
      if (id && !document.getElementById(id)) found.push(`${name(e)} speaks of #${id}, which is not there`);
  if (!document.documentElement.lang) found.push('the language is not said');
  if (!document.title) found.push('there is no title');
  const shown = [...document.querySelectorAll('h1, h2, h3, h4')].filter((e) => e.checkVisibility());
  const levels = shown.map((e) => Number(e.tagName[1]));
  if (levels.filter((l) => l === 1).length !== 1) found.push(`first headings: ${levels.filter((l) => l === 1).length}`);
  levels.forEach((l, i) => { if (i && l > levels[i - 1] + 1) found.push(`a level is left out before ${name(shown[i])}`); });
  if (![...document.querySelectorAll('main, [role=main]')].some((e) => e.checkVisibility())) found.push('nothing is the main part');
  return found;
})()"""


def barriers(page):
    """Sentences; none is what there should be."""
    found = page.evaluate(PAGE)
    for node in page.call("Accessibility.getFullAXTree")["nodes"]:
        role = node.get("role", {}).get("value")
        if node.get("ignored") or role not in NAMED - MAY_BE_NAMELESS:
            continue
        if not node.get("name", {}).get("value", "").strip():
            found.append(f"a {role} without a name: {node.get('description', {}).get('value', '')} {node.get('backendDOMNodeId')}")
    return found


def stops(page, count=64):
    """What Tab reaches, in order, until it comes round: ids, or the words of what has none."""
    reached = []
    page.evaluate("document.body.tabIndex = -1, document.body.focus(), document.body.removeAttribute('tabindex')")
    for _ in range(count):
        page.press("Tab")
        at = page.evaluate("(() => { const e = document.activeElement; return e === document.body ? '' : "
                           "(e.id ? '#' + e.id : (e.getAttribute('aria-label') || e.textContent || e.name).trim().slice(0, 20)); })()")
        if not at or (reached and at == reached[0]):
            return reached
        reached.append(at)
    return reached
