/**
 * What the page's tests ask the browser: programs that run inside it, as text, since the compiler knows no document here.
 * Not a test.
 */

/** Pairs of texts of the drawings on screen of which one covers the other: string[]. */
export const OVERLAPPING_TEXTS = `
  [...document.querySelectorAll('svg')].flatMap((svg) => {
    // Those of arrows that slope may lie across others: their boxes are larger than they are.
    const texts = [...svg.querySelectorAll('text:not([transform])')]
      .map((text) => ({ text: text.textContent, box: text.getBoundingClientRect() }))
      .filter(({ box }) => box.width > 0);
    const shared = (a, b) => ({
      x: Math.min(a.right, b.right) - Math.max(a.left, b.left),
      y: Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top),
    });
    return texts.flatMap((a, i) =>
      texts
        .slice(i + 1)
        .filter((b) => shared(a.box, b.box).x > 1 && shared(a.box, b.box).y > 4)
        .map((b) => svg.querySelector('title').textContent + ': "' + a.text + '" and "' + b.text + '"'));
  })`;

/** Texts that stick out of their drawing: string[]. */
export const TEXTS_OUTSIDE = `
  [...document.querySelectorAll('svg')].flatMap((svg) => {
    const whole = svg.getBoundingClientRect();
    return [...svg.querySelectorAll('text')]
      .filter((text) => {
        const box = text.getBoundingClientRect();
        return box.left < whole.left - 1 || box.right > whole.right + 1;
      })
      .map((text) => text.textContent);
  })`;

/** The width that the page would want: number. */
export const PAGE_WIDTH = 'document.documentElement.scrollWidth';

/** How bright the page's ground is, 0 to 255: number. */
export const BRIGHTNESS = `
  Math.max(...getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number))`;

/** What a strict parser has to say against these drawings: string[]. */
export function xmlProblems(drawings: readonly string[]): string {
  return `
    ${JSON.stringify(drawings)}.flatMap((text) => {
      const parsed = new DOMParser().parseFromString(text, 'image/svg+xml');
      return [...parsed.querySelectorAll('parsererror')].map((error) => error.textContent);
    })`;
}
