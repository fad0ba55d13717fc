/**
 * The report's directory: whole or not at all, and nobody else's files.
 */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { openReportDirectory } from '../../report/directory.ts';
import { openReport } from '../../report/report.ts';

let base: string;
beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), 'hushlb-test-'));
});
afterEach(() => rmSync(base, { recursive: true }));

const NAMES = ['index.html', 'report.json', 'stateless.pcapng'];
const OURS = '<meta name="generator" content="hushlb report">';

function open(path = base) {
  return openReportDirectory(path, NAMES);
}

describe('openReportDirectory', () => {
  it('makes the directory, and shows nothing before all is there', () => {
    const path = join(base, 'a', 'b');
    const directory = open(path);
    directory.write('index.html', OURS);
    assert.deepEqual(
      readdirSync(path).filter((name) => !name.startsWith('.')),
      [],
    );
    directory.publish();
    directory.close();
    assert.deepEqual(readdirSync(path), ['index.html']);
  });

  it('leaves nothing where nothing was published, not even the directories that it made', () => {
    const directory = open(join(base, 'a', 'b'));
    directory.write('index.html', OURS);
    directory.close();
    directory.close();
    assert.deepEqual(readdirSync(base), []);
  });

  it('leaves a directory that was there, with what is in it', () => {
    writeFileSync(join(base, 'notes.txt'), 'mine');
    open().close();
    assert.deepEqual(readdirSync(base), ['notes.txt']);
  });

  it('replaces a former report', () => {
    writeFileSync(join(base, 'index.html'), OURS);
    const directory = open();
    directory.write('index.html', `${OURS} again`);
    assert.equal(readFileSync(join(base, 'index.html'), 'utf8'), OURS);
    directory.publish();
    directory.close();
    assert.equal(readFileSync(join(base, 'index.html'), 'utf8'), `${OURS} again`);
  });

  for (const name of NAMES) {
    it(`does not overwrite a ${name} of someone else`, () => {
      writeFileSync(join(base, name), 'mine');
      assert.throws(() => open(), {
        code: 'LAB_REPORT',
        message: `${join(base, name)} is no file of a report and would be overwritten: name another directory`,
      });
      assert.deepEqual(readdirSync(base), [name]);
      assert.equal(readFileSync(join(base, name), 'utf8'), 'mine');
    });
  }

  it('says so where a file is in the way', () => {
    writeFileSync(join(base, 'file'), '');
    assert.throws(() => open(join(base, 'file')), {
      code: 'LAB_REPORT',
      message: `cannot write a report to ${join(base, 'file')}: it is a file, not a directory`,
    });
    assert.throws(() => open(join(base, 'file', 'below')), {
      message: /below: a part of the path is a file, not a directory$/,
    });
  });

  it('clears what a killed run left, and nothing of a living one', () => {
    // Not a pid: it is beyond the kernel's largest.
    for (const pid of [4_194_305, process.ppid]) mkdirSync(join(base, `.hushlb-${pid}`));
    open().close();
    assert.deepEqual(readdirSync(base), [`.hushlb-${process.ppid}`]);
  });
});

describe('openReport', () => {
  const options = () => ({ path: base, commandLine: ['lab', 'run'], version: '4.5.6', files: [] });

  it('says so where the data that it would add to are damaged, and leaves all as it is', () => {
    const generator = '"generator":"hushlb report"';
    for (const [text, reason] of [
      [`{${generator}`, /^cannot add to .*report\.json \(.*JSON.*\): delete it, or name another directory$/],
      [`{${generator},"version":"0.0.1"}`, /\(it is hushlb 0\.0\.1's\)/],
      [`{${generator},"version":"4.5.6","runs":{"parts":[{}]},"matrix":null}`, /^cannot add to/],
    ] as const) {
      writeFileSync(join(base, 'report.json'), text);
      assert.throws(() => openReport(options()), { code: 'LAB_REPORT', message: reason });
      assert.deepEqual(readdirSync(base), ['report.json']);
    }
  });

  it('says so where the directory goes away meanwhile', () => {
    const report = openReport(options());
    rmSync(base, { recursive: true });
    const write = () => report.writing('x.pcapng', (path) => writeFileSync(path, ''));
    assert.throws(write, { code: 'LAB_REPORT', message: /^cannot write the report to / });
    report.close();
    mkdirSync(base);
  });

  it('keeps what the other command left', () => {
    const add = (part: object) => {
      const report = openReport(options());
      report.publish((about) => JSON.parse(JSON.stringify(part).replaceAll('"ABOUT"', JSON.stringify(about))));
      report.close();
    };
    add({ runs: { about: 'ABOUT', parts: [] } });
    const matrix = { about: 'ABOUT', result: { orderings: [], settings: {}, rows: [], held: true } };
    add({ matrix });
    const { runs, matrix: kept } = JSON.parse(readFileSync(join(base, 'report.json'), 'utf8'));
    assert.equal(runs.about.command, 'hushlb lab run');
    assert.deepEqual(runs.about.versions[0], ['hushlb', '4.5.6']);
    assert.equal(kept.result.held, true);
    assert.equal(existsSync(join(base, 'index.html')), true);
  });
});
