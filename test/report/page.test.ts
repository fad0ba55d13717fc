/**
 * The page in a browser: Debian's Chromium at the widths of a desktop and of a phone, by day and by night, with a part for
 * every scenario and for the matrix; and once as a real run of the lab writes it.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { pathToFileURL } from 'node:url';
import { type Browser, chromium, type Page } from 'playwright-core';
import { examine } from '../../lab/findings.ts';
import type { Ladder } from '../../lab/ladder.ts';
import { HUSHLB } from '../../lab/processes.ts';
import { type Scenario, titleOf } from '../../lab/scenario.ts';
import { checkPromise, SCENARIOS } from '../../lab/scenarios.ts';
import { VERSION } from '../../lb/version.ts';
import type { ReportData } from '../../report/model.ts';
import { reportOnMatrix } from '../../report/on-matrix.ts';
import { reportOnRuns } from '../../report/on-runs.ts';
import { renderPage } from '../../report/page.ts';
import { lab, until } from '../lab/command.ts';
import { anyMatrix, evidenceOf } from './evidence.ts';
import { BRIGHTNESS, OVERLAPPING_TEXTS, PAGE_WIDTH, TEXTS_OUTSIDE, xmlProblems } from './in-browser.ts';

const CHROMIUM = '/usr/bin/chromium';
const isRoot = process.getuid?.() === 0;
const skip = !existsSync(CHROMIUM) && 'needs chromium';

const VIEWS = [1280, 768, 360].flatMap((width) =>
  (['light', 'dark'] as const).map((colorScheme) => ({ width, colorScheme })),
);

const base = mkdtempSync(join(tmpdir(), 'hushlb-test-report-'));
let browser: Browser;

before(async () => {
  // Chromium's sandbox refuses to work for root.
  if (!skip) browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox'] });
});
after(async () => {
  await browser?.close();
  rmSync(base, { recursive: true });
});

/** A page that must not say anything on the console, nor ask for anything but itself. */
async function look<Result>(
  file: string,
  { width, colorScheme }: (typeof VIEWS)[number],
  examinePage: (page: Page) => Promise<Result>,
): Promise<Result> {
  const context = await browser.newContext({ viewport: { width, height: 800 }, colorScheme });
  const said: string[] = [];
  const asked: string[] = [];
  const page = await context.newPage();
  page.on('console', (message) => said.push(message.text()));
  page.on('pageerror', (error) => said.push(String(error)));
  page.on('request', (request) => asked.push(request.url()));
  try {
    const url = pathToFileURL(file).href;
    await page.goto(url);
    const result = await examinePage(page);
    assert.deepEqual(said, []);
    assert.deepEqual(
      asked.filter((each) => each !== 'data:,'),
      [url],
    );
    return result;
  } finally {
    await context.close();
  }
}

function reportOn(
  path: string,
  scenarios: readonly Scenario[],
  change: (ladder: Ladder) => Ladder = (same) => same,
): void {
  const commandLine = ['lab', 'run', '--all', '--report', path];
  const runs = reportOnRuns({ path, scenarios, commandLine, version: VERSION });
  runs.open();
  for (const scenario of scenarios) {
    const evidence = evidenceOf(scenario);
    const result = checkPromise(scenario, examine(evidence, scenario.shows));
    runs.ran(scenario, evidence, { ...result, ladder: result.ladder && change(result.ladder) });
  }
  runs.complete();
  runs.close();
  const matrix = reportOnMatrix({ path, commandLine: ['lab', 'matrix', '--report', path], version: VERSION });
  matrix.open();
  matrix.complete(anyMatrix());
  matrix.close();
}

async function assertNothingSideways(page: Page, width: number): Promise<void> {
  const sideways = await page.evaluate<number>(PAGE_WIDTH);
  assert.ok(sideways <= width, `the page is ${sideways} px wide in ${width} px`);
}

describe('the page', { skip, concurrency: 2 }, () => {
  const path = join(base, 'all');
  const file = join(path, 'index.html');
  before(() => reportOn(path, SCENARIOS));

  it('comes with a capture of each run, and its data', () => {
    const captures = readdirSync(path).filter((name) => name.endsWith('.pcapng'));
    assert.equal(captures.length, SCENARIOS.length);
    assert.deepEqual(readdirSync(path).sort(), [...captures, 'index.html', 'report.json'].sort());
  });

  it('has no script, and names nothing that would be fetched', () => {
    const html = readFileSync(file, 'utf8');
    assert.doesNotMatch(html, /<script|\son\w+=|javascript:/i);
    const addresses = [...html.matchAll(/(?:href|src|url)\s*[=(]\s*["']?([^"')\s>]*)/g)].map(([, address]) => address);
    assert.ok(addresses.length > SCENARIOS.length);
    for (const address of addresses) assert.match(address, /^(?:#[\w-]+|[\w.%-]+\.pcapng|data:,)$/);
    for (const [, anchor] of html.matchAll(/href="#([^"]+)"/g)) assert.ok(html.includes(`id="${anchor}"`), anchor);
    const ids = [...html.matchAll(/\sid="([^"]+)"/g)].map(([, id]) => id);
    assert.equal(new Set(ids).size, ids.length, 'an id twice');
  });

  for (const view of VIEWS) {
    it(`${view.width} px, ${view.colorScheme}: every section shows, and nothing goes sideways`, () =>
      look(file, view, async (page) => {
        const { width } = view;
        for (const scenario of SCENARIOS) {
          const section = page.locator('section.run-section').filter({
            has: page.getByRole('heading', { level: 2, name: titleOf(scenario).replace(', ', ' '), exact: true }),
          });
          assert.equal(await section.count(), 1, titleOf(scenario));
          assert.ok(await section.isVisible());
          assert.ok(await section.getByText(scenario.story).isVisible());
          const drawings = section.locator('svg.sequence:visible');
          assert.equal(await drawings.count(), 1, titleOf(scenario));
          const box = await drawings.boundingBox();
          assert.ok(
            box !== null && box.width > 250 && box.height > 200,
            `${titleOf(scenario)}: ${JSON.stringify(box)}`,
          );
          assert.ok((await section.locator('.bar:visible i').count()) > 0);
        }
        assert.ok((await page.locator('#networks svg.topology:visible').count()) >= 3);
        assert.equal(await page.locator('#matrix td.cell:visible').count(), anyMatrix().rows.length * 6);
        await assertNothingSideways(page, width);
        for (const details of await page.locator('summary').all()) await details.click();
        await assertNothingSideways(page, width);
        assert.deepEqual(await page.evaluate<string[]>(OVERLAPPING_TEXTS), []);
        assert.deepEqual(await page.evaluate<string[]>(TEXTS_OUTSIDE), []);
        assert.equal((await page.evaluate<number>(BRIGHTNESS)) < 128, view.colorScheme === 'dark');
      }));
  }

  it('its drawings are well-formed XML', () =>
    look(file, VIEWS[0], async (page) => {
      const drawings = readFileSync(file, 'utf8').match(/<svg[\s\S]*?<\/svg>/g) ?? [];
      assert.ok(drawings.length >= 2 * SCENARIOS.length);
      const problems = await page.evaluate<string[]>(xmlProblems(drawings));
      assert.deepEqual(problems, []);
    }));
});

describe('hostile names', { skip }, () => {
  const HOSTILE = `<img src="x" onerror="alert(1)">'"&amp;</text><script>alert(2)</script>`;

  it('are texts, wherever they stand', () => {
    const path = join(base, 'hostile');
    const [scenario] = SCENARIOS.map((each) => ({ ...each, variant: HOSTILE, story: HOSTILE, summary: HOSTILE }));
    reportOn(path, [scenario], (ladder) => ({
      ...ladder,
      rows: ladder.rows.map((row) => (row.kind === 'packet' ? { ...row, label: HOSTILE } : row)),
    }));
    const data = JSON.parse(readFileSync(join(path, 'report.json'), 'utf8'), (_key, value) =>
      // Every text of the data, but for those that the page looks things up by.
      typeof value === 'string' && /^(?:hushlb lab|Linux|.*connections? kept|nothing between)/.test(value)
        ? HOSTILE
        : value,
    ) as ReportData;
    const html = renderPage(data);
    assert.doesNotMatch(html, /<img|<script/);
    return look(join(path, 'index.html'), VIEWS[0], async (page) => {
      assert.equal(await page.locator('img, script').count(), 0);
      assert.equal(await page.locator('.run-section > p').textContent(), HOSTILE);
      assert.equal(await page.locator('h2 .variant').textContent(), HOSTILE);
      const labels = await page.locator('svg.sequence.wide title').allTextContents();
      assert.ok(labels.some((label) => label.startsWith(HOSTILE)));
    });
  });
});

describe('hushlb lab run --report', { skip: !isRoot && 'needs root for network namespaces' }, () => {
  it('writes the page of a real run, with captures that Wireshark reads', { skip }, async () => {
    const path = join(base, 'real', 'report');
    const options = ['run', 'round-robin', '--connections', '50', '--report', path];
    const { code, stdout, stderr } = await lab(...options).ended;
    assert.equal(code, 0, stdout + stderr);
    assert.match(stdout, new RegExp(`^Report: ${path}/index.html$`, 'm'));
    assert.deepEqual(readdirSync(path).sort(), ['index.html', 'report.json', 'round-robin.pcapng']);

    const { runs } = JSON.parse(readFileSync(join(path, 'report.json'), 'utf8')) as ReportData;
    const [{ result, capture }] = runs!.parts;
    assert.equal(runs!.about.command, `hushlb lab ${options.join(' ')}`);
    assert.equal(capture.packets, result.framesCaptured);
    const lost = result.connections.filter(({ outcome }) => outcome === 'reset-by-backend');

    const fields = ['frame.interface_name', 'frame.comment', 'tcp.dstport'].flatMap((field) => ['-e', field]);
    const read = (...filter: string[]): string[] =>
      spawnSync('tshark', ['-n', '-r', join(path, capture.file), '-T', 'fields', ...fields, ...filter], {
        encoding: 'utf8',
      })
        .stdout.split('\n')
        .filter(Boolean);
    assert.equal(read().length, capture.packets);
    const decisive = read('-Y', 'frame.comment');
    assert.equal(decisive.length, capture.comments);
    const resets = decisive.filter((line) => /^b\d\tb\d sends this RST: it never saw/.test(line));
    assert.deepEqual(
      resets.map((line) => Number(line.split('\t')[2])).sort(),
      lost.map(({ clientPort }) => clientPort).sort(),
    );
    assert.equal(decisive.filter((line) => /^lb\tThe first packet after \d\.\d s of silence/.test(line)).length, 50);

    for (const view of VIEWS) {
      await look(join(path, 'index.html'), view, async (page) => {
        await assertNothingSideways(page, view.width);
        assert.deepEqual(await page.evaluate<string[]>(OVERLAPPING_TEXTS), []);
        assert.equal(await page.locator('svg.sequence:visible .label.reset').count(), 1);
        const reset = await page.locator('svg.sequence:visible .label.reset').textContent();
        assert.match(reset ?? '', /^RST from b\d$/);
        for (const address of ['198.18.0.2/24', '198.18.2.10/24', '198.18.2.3/24', '198.18.10.1/32']) {
          assert.ok(
            (await page.locator('svg.topology:visible text').filter({ hasText: address }).count()) > 0,
            address,
          );
        }
      });
    }
  });

  it('says so before anything runs where it cannot write, and leaves what is there alone', async () => {
    const { code, stdout, stderr } = await lab('run', 'stateless', '--report', HUSHLB).ended;
    assert.equal(code, 1);
    assert.equal(stderr, `hushlb: cannot write a report to ${HUSHLB}: it is a file, not a directory\n`);
    assert.equal(stdout, '');
  });

  it('leaves nothing of it after Ctrl-C', async () => {
    const path = join(base, 'interrupted', 'report');
    const run = lab('run', 'stateless', '--report', path);
    await until('the directory', () => existsSync(path));
    run.kill('SIGINT');
    assert.equal((await run.ended).code, 130);
    assert.equal(existsSync(join(base, 'interrupted')), false);
  });
});
