/**
 * Markup that is known to be safe, and the one way to make it: elements whose texts and attributes are escaped. The
 * drawings are built with it; report/page.ts puts them into its templates.
 */

/** Well-formed XML, which HTML takes as it is. */
export interface Markup {
  readonly markup: string;
}

export type Attributes = Readonly<Record<string, string | number | undefined>>;

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};
/** XML 1.0, section 2.2: these may not stand in a document, not even escaped. */
const NO_XML = /(?![\t\n\r])[\p{Cc}\p{Cs}\ufffe\uffff]/gu;

export function escapeText(text: string): string {
  return text.replace(NO_XML, '\ufffd').replace(/[&<>"']/g, (character) => ENTITIES[character]);
}

/** Attributes that are undefined are left out; children that are strings are texts. */
export function element(name: string, attributes: Attributes, ...children: readonly (Markup | string)[]): Markup {
  const written = Object.entries(attributes)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => ` ${key}="${escapeText(typeof value === 'number' ? round(value) : `${value}`)}"`)
    .join('');
  const inner = children.map((child) => (typeof child === 'string' ? escapeText(child) : child.markup)).join('');
  return { markup: inner === '' ? `<${name}${written}/>` : `<${name}${written}>${inner}</${name}>` };
}

export function join(parts: readonly Markup[]): Markup {
  return { markup: parts.map(({ markup }) => markup).join('') };
}

/** A hundredth of a pixel is finer than any screen. */
function round(value: number): string {
  return String(Math.round(value * 100) / 100);
}

export interface DrawingOptions {
  /** Unique in the page. */
  readonly id: string;
  readonly title: string;
  readonly description: string;
  readonly width: number;
  readonly height: number;
  readonly className: string;
}

/** An SVG that is as wide as its container, and never wider than drawn. */
export function drawing(options: DrawingOptions, ...children: readonly Markup[]): Markup {
  const { id, title, description, width, height, className } = options;
  return element(
    'svg',
    {
      xmlns: 'http://www.w3.org/2000/svg',
      role: 'img',
      class: className,
      viewBox: `0 0 ${Math.ceil(width)} ${Math.ceil(height)}`,
      width: Math.ceil(width),
      height: Math.ceil(height),
      'aria-labelledby': `${id}-title ${id}-desc`,
    },
    element('title', { id: `${id}-title` }, title),
    element('desc', { id: `${id}-desc` }, description),
    ...children,
  );
}
