/**
 * The walls between the folders, the packages that each may use, and the habits that every file keeps.
 *
 * biome.json holds the same walls while one types. This reads the sources on its own, so that no wall falls with a line
 * of the linter's configuration, and prints the table that an import breaks.
 */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { posix } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

interface Wall {
  /** Our folders that may be imported, beside the folder itself. */
  readonly folders: readonly string[];
  /** The npm packages that may be imported; without a list, any. */
  readonly packages?: readonly string[];
}

const BELOW_LB = ['wire', 'hashing', 'conntrack', 'metrics', 'io', 'dsr', 'health'];
const ABOVE_LB = ['simulate', 'replay', 'plan', 'explain', 'admin', 'doctor'];

/** Who may import whom, as docs/architecture.md has it. */
const WALLS: Readonly<Record<string, Wall>> = {
  wire: { folders: [], packages: [] },
  hashing: { folders: [], packages: [] },
  conntrack: { folders: [], packages: [] },
  metrics: { folders: [], packages: ['prom-client'] },
  io: { folders: [], packages: ['koffi'] },
  dsr: { folders: ['wire', 'io'], packages: [] },
  health: { folders: ['wire', 'io'], packages: [] },
  lb: { folders: BELOW_LB, packages: ['pino', 'yaml', 'zod'] },
  simulate: { folders: [...BELOW_LB, 'lb'], packages: [] },
  replay: { folders: [...BELOW_LB, 'lb'], packages: [] },
  plan: { folders: [...BELOW_LB, 'lb'], packages: [] },
  explain: { folders: [...BELOW_LB, 'lb', 'replay'], packages: [] },
  admin: { folders: [...BELOW_LB, 'lb', 'replay', 'plan', 'explain'], packages: ['pino', 'zod'] },
  doctor: { folders: [...BELOW_LB, 'lb', 'admin'], packages: [] },
  lab: { folders: ['wire', 'io'] },
  probe: { folders: [], packages: [] },
  report: { folders: ['wire', 'io', 'lab'], packages: ['eta'] },
  cli: { folders: [...BELOW_LB, ...ABOVE_LB, 'lb', 'lab', 'probe', 'report'] },
  bench: { folders: [...BELOW_LB, 'lb', 'simulate', 'lab', 'cli'] },
  test: { folders: [...BELOW_LB, ...ABOVE_LB, 'lb', 'lab', 'probe', 'report', 'cli', 'bench'] },
  scripts: { folders: [], packages: ['rollup'] },
};

const LONGEST = 300;
const REASON_FOR_LENGTH = 'Longer than 300 lines because ';

const STATIC_IMPORT = /^(?:import\s+|(?:import|export)\s[\w\s{},*$]*?\bfrom\s+)'([^']+)'/gm;
const DYNAMIC_IMPORT = /\bimport\('([^']+)'\)/g;
const HEAD_COMMENT = /^(?:#!.*\n)?(\/\*\*[\s\S]*?\*\/)/;

interface Source {
  /** Relative to the project's root. */
  readonly path: string;
  readonly text: string;
}

interface Import {
  readonly path: string;
  readonly line: number;
  /** As it is written. */
  readonly specifier: string;
}

const root = findRoot(fileURLToPath(import.meta.url));
const sources = Object.keys(WALLS).flatMap(readFolder);
const imports = sources.flatMap(importsOf);

test('no import goes through a wall', () => {
  const broken = imports.flatMap(({ path, line, specifier }) => {
    const reason = whyForbidden(path, specifier);
    return reason === undefined ? [] : [`${path}:${line} imports ${specifier}: ${reason}`];
  });
  if (broken.length > 0) assert.fail([...broken, '', wallTable()].join('\n'));
});

test('only io/ffi.ts imports koffi', () => {
  const paths = imports.filter(({ specifier }) => specifier === 'koffi').map(({ path }) => path);
  assert.deepEqual(paths, ['io/ffi.ts']);
});

test('only io/portable-packages.ts loads the optional packages', () => {
  const paths = sources.filter(({ text }) => /\brequire\('(?:cap|raw-socket)'\)/.test(text)).map(({ path }) => path);
  assert.deepEqual(paths, ['io/portable-packages.ts']);
});

test('every file opens with a comment that says what it is for', () => {
  const bare = sources.filter(({ text }) => !HEAD_COMMENT.test(text)).map(({ path }) => path);
  assert.deepEqual(bare, [], 'write /** what it is for, who calls it, what it promises */ above the imports');
});

test(`a file over ${LONGEST} lines says at its head why`, () => {
  const long = sources.flatMap(({ path, text }) => {
    const lines = text.split('\n').length - 1;
    const excused = HEAD_COMMENT.exec(text)?.[1]?.includes(REASON_FOR_LENGTH) ?? false;
    return lines <= LONGEST || excused ? [] : [`${path}: ${lines} lines`];
  });
  assert.deepEqual(long, [], `split it, or write "${REASON_FOR_LENGTH}…" in its head comment`);
});

function whyForbidden(path: string, specifier: string): string | undefined {
  const folder = folderOf(path);
  const wall = WALLS[folder]!;
  if (specifier.startsWith('node:')) return undefined;
  if (!specifier.startsWith('.')) {
    const name = packageOf(specifier);
    return wall.packages === undefined || wall.packages.includes(name) ? undefined : `${folder} may not use ${name}`;
  }
  const target = folderOf(posix.join(posix.dirname(path), specifier));
  // A file of the root: package.json, for the version.
  if (target === '' || target === folder || wall.folders.includes(target)) return undefined;
  return `${folder} may not import ${target}`;
}

/** The top-level folder of a path, '' for a file in the root. */
function folderOf(path: string): string {
  return path.slice(0, Math.max(path.indexOf('/'), 0));
}

function packageOf(specifier: string): string {
  return specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/');
}

function wallTable(): string {
  const rows = Object.entries(WALLS).map(([folder, { folders, packages }]) => [
    folder,
    folders.join(' ') || 'nothing of ours',
    packages === undefined ? 'any' : packages.join(' ') || 'none',
  ]);
  return [['folder', 'may import', 'packages'], ...rows]
    .map(([folder, folders, packages]) => `${folder!.padEnd(10)} ${folders!.padEnd(62)} ${packages}`)
    .join('\n');
}

function importsOf({ path, text }: Source): Import[] {
  return [STATIC_IMPORT, DYNAMIC_IMPORT].flatMap((pattern) =>
    [...text.matchAll(pattern)].map((match) => ({
      path,
      line: text.slice(0, match.index + match[0].length).split('\n').length,
      specifier: match[1]!,
    })),
  );
}

function readFolder(folder: string): Source[] {
  const base = posix.join(root, folder);
  if (!existsSync(base)) return [];
  return readdirSync(base, { recursive: true, encoding: 'utf8' })
    .filter((name) => /\.(?:ts|mjs)$/.test(name))
    .map((name) => ({ path: posix.join(folder, name), text: readFileSync(posix.join(base, name), 'utf8') }));
}

/** The nearest folder with a tsconfig.json: this file runs compiled, some folders further down. */
function findRoot(path: string): string {
  const folder = posix.dirname(path);
  assert.notEqual(folder, path, 'no tsconfig.json above this test');
  return existsSync(posix.join(folder, 'tsconfig.json')) ? folder : findRoot(folder);
}
