/** The project's pages of Markdown, and what the tests beside this one look at in them. Not a test. */
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** Seen from dist/test/docs. */
export const ROOT = fileURLToPath(new URL('../../../', import.meta.url));

export interface Page {
  /** From the project's root. */
  readonly path: string;
  readonly text: string;
}

const NOT_OURS = /(?:^|\/)(?:node_modules|dist|build|\.git)(?:\/|$)/;

/** Every file of the project, from its root. */
export const FILES: ReadonlySet<string> = new Set(filesBelow(''));

export const PAGES: readonly Page[] = [...FILES].filter((path) => path.endsWith('.md')).map(pageOf);

/** Those that say how things are; a changelog says how they were. */
export const CURRENT_PAGES = PAGES.filter(({ path }) => path !== 'CHANGELOG.md');

function filesBelow(folder: string): string[] {
  return readdirSync(`${ROOT}${folder}`, { withFileTypes: true }).flatMap((entry) => {
    const path = `${folder}${entry.name}`;
    if (NOT_OURS.test(path)) return [];
    return entry.isDirectory() ? filesBelow(`${path}/`) : [path];
  });
}

function pageOf(path: string): Page {
  return { path, text: readFileSync(`${ROOT}${path}`, 'utf8') };
}

const BLOCK = /^```(\w*)\n([\s\S]*?)^```/gm;

export function withoutBlocks(text: string): string {
  return text.replace(BLOCK, '');
}

/** The blocks of code in a language. */
export function blocksOf(text: string, language: string): string[] {
  return [...text.matchAll(BLOCK)].filter(([, named]) => named === language).map(([, , block]) => block);
}

/** What stands between single backquotes, in one line each. */
export function quotedIn(text: string): string[] {
  return [...withoutBlocks(text).matchAll(/`([^`]+)`/g)].map(([, quoted]) => quoted.replaceAll('\n', ' '));
}

/** The anchors of a page, as GitHub makes them of headings. */
export function anchorsOf(text: string): Set<string> {
  const headings = [...withoutBlocks(text).matchAll(/^#+ (.+)$/gm)].map(([, heading]) => heading);
  return new Set(
    headings.map((heading) =>
      heading
        .toLowerCase()
        .replace(/[^\p{L}\p{N} _-]/gu, '')
        .replaceAll(' ', '-'),
    ),
  );
}
