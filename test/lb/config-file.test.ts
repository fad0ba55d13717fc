/**
 * From files and text to problems with positions. Single values: config.test.ts; rules between them: config-rules.test.ts.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { parseConfig, readConfigFile } from '../../lb/config-file.ts';
import { ConfigError } from '../../lb/config-problems.ts';

const directory = mkdtempSync(join(tmpdir(), 'hushlb-test-config-'));
after(() => rmSync(directory, { recursive: true }));

const GOOD = `
interface: eth0
io: af-xdp                     # a comment
mode: stateless
metrics: { listen: 127.0.0.1:9108 }
services:
  - name: web
    vip: 198.18.10.1
    protocol: tcp
    port: 80
    scheduler: maglev
    hash: source-ip-port
    tableSize: 65537
    conntrack: { enabled: true, idleTimeout: 60s, capacity: 1048576 }
    encap: ipip
    backends:
      - { name: b1, address: 198.18.2.1, weight: 1 }
      - { name: b2, address: 198.18.2.2 }
`.trimStart();

function messageOf(act: () => unknown): string {
  try {
    act();
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error));
    return error.message;
  }
  return 'no error';
}

const parsed = (text: string) => messageOf(() => parseConfig(text, 'FILE'));

test('a file as people write it', () => {
  const file = join(directory, 'good.yaml');
  for (const text of [GOOD, `\ufeff${GOOD}`, GOOD.replaceAll('\n', '\r\n'), `---\n${GOOD}...\n`]) {
    writeFileSync(file, text);
    const { config, warnings } = readConfigFile(file);
    assert.equal(config.interface, 'eth0');
    assert.deepEqual(config.services[0].backends[1], {
      name: 'b2',
      address: '198.18.2.2',
      weight: 1,
      state: 'active',
    });
    assert.deepEqual(warnings, []);
  }
});

test('a JSON file is YAML too', () => {
  const { config } = parseConfig(
    '{"interface":"eth0","services":[{"name":"web","vip":"198.18.10.1","port":80,' +
      '"backends":[{"name":"b1","address":"198.18.2.1"}]}]}',
    'FILE',
  );
  assert.equal(config.services[0].ports.first, 80);
});

test('one problem is one line; its place is counted from 1', () => {
  assert.equal(
    parsed(GOOD.replace('weight: 1', 'weight: 0')),
    'FILE: services[0].backends[0].weight: expected a whole number from 1 to 256, got 0 (line 16, column 42)',
  );
  assert.equal(
    parsed(GOOD.replace('    vip: 198.18.10.1\n', '')),
    'FILE: services[0].vip: expected a unicast address, such as 198.18.10.1 or 2001:db8::1, got nothing (line 6, column 5)',
  );
  assert.equal(
    parsed(GOOD.replace('eth0', '')),
    'FILE: interface: expected the name of a network interface, such as eth0, got nothing (line 1, column 1)',
  );
});

test('several problems stand one a line, in the order of the file', () => {
  assert.equal(
    parsed(GOOD.replace('port: 80', 'port: http').replace('eth0', 'eth 0').replace('name: b2', 'name: b1')),
    [
      'FILE: 3 problems',
      '  interface: expected the name of a network interface, such as eth0, got "eth 0" (line 1, column 1)',
      '  services[0].port: expected a port from 1 to 65535, a range such as 8000-8999, or all, got "http" (line 9, column 5)',
      '  services[0].backends[1].name: expected a name that no other backend of the service has, got "b1" (line 17, column 11)',
    ].join('\n'),
  );
});

test('problems carry their place as data', () => {
  try {
    parseConfig(GOOD.replace('mode: stateless', 'mode: none'), 'FILE');
    assert.fail('accepted');
  } catch (error) {
    assert.ok(error instanceof ConfigError);
    assert.deepEqual(error.problems, [
      { path: 'mode', message: 'expected one of stateless, stateful, got "none"', line: 3, column: 1 },
    ]);
  }
});

test('a key that comes twice is found beside other problems, and in every mapping', () => {
  const text = GOOD.replace('    port: 80\n', '    port: 80\n    port: 0\n').replace(
    'weight: 1',
    'weight: 1, weight: 2',
  );
  assert.equal(
    parsed(text),
    [
      'FILE: 3 problems',
      '  services[0].port: expected a port from 1 to 65535, a range such as 8000-8999, or all, got 0 (line 9, column 5)',
      '  services[0].port: expected each key once, got it again (line 10, column 5)',
      '  services[0].backends[0].weight: expected each key once, got it again (line 17, column 53)',
    ].join('\n'),
  );
});

test('what is not YAML is told with its place', () => {
  const cases: [string, string][] = [
    ['a: [1, 2\nb: 3\n', '(line 2, column 1)'],
    ['a: "b\n', '(line 2, column 1)'],
    ['a:\n\tb: 1\n', '(line 2, column 1)'],
    ['a: *nowhere\n', '(line 1, column 1)'],
    ['a: !secret 1\n', '(line 1, column 4)'],
    ['a: !!binary aGk=\n', '(line 1, column 4)'],
  ];
  for (const [text, place] of cases) {
    const message = parsed(text);
    assert.ok(message.startsWith('FILE: not valid YAML: ') && message.endsWith(place), message);
    assert.doesNotMatch(message, /\n/);
  }
  assert.equal(parsed('? [a]\n: 1\n'), 'FILE: expected keys to be plain words (line 1, column 3)');
});

test('empty texts, several documents, other kinds of YAML', () => {
  for (const text of ['', '\n\n', '# nothing\n', '---\n', 'null\n']) {
    assert.equal(parsed(text), 'FILE: expected a configuration, got an empty file', JSON.stringify(text));
  }
  assert.equal(parsed(`${GOOD}---\n${GOOD}`), 'FILE: expected one YAML document, got several (line 18, column 1)');
  assert.equal(parsed('- a\n'), 'FILE: expected a mapping, got a list (line 1, column 1)');
});

test('anchors spare repetition; bombs and deep nests are refused at once', () => {
  const services = Array.from({ length: 200 }, (_, i) =>
    [
      `  - name: s${i}`,
      '    vip: 198.18.10.1',
      `    port: ${i + 1}`,
      `    conntrack: ${i === 0 ? '&shared { idleTimeout: 5m }' : '*shared'}`,
      '    backends: [{ name: b1, address: 198.18.2.1 }]',
    ].join('\n'),
  );
  const { config } = parseConfig(`interface: eth0\nservices:\n${services.join('\n')}\n`, 'FILE');
  assert.equal(config.services[199].conntrack.idleTimeoutMs, 300_000);

  const before = process.cpuUsage();
  const levels = Array.from({ length: 20 }, (_, i) => `a${i + 1}: &a${i + 1} [${`*a${i}, `.repeat(9)}]`);
  assert.match(parsed(`a0: &a0 x\n${levels.join('\n')}\n`), /^FILE: not valid YAML: excessive alias count/);
  for (const nest of ['['.repeat(1e5), '- '.repeat(1e5), '{a: '.repeat(1e4)]) {
    assert.match(
      parsed(nest),
      /^FILE: expected a configuration, got something nested too deep \(line 1, column \d+\)$/,
    );
  }
  const indented = Array.from({ length: 1000 }, (_, i) => `${' '.repeat(i)}a:`).join('\n');
  assert.match(parsed(indented), /nested too deep/);
  const { user, system } = process.cpuUsage(before);
  assert.ok((user + system) / 1000 < 20_000, 'milliseconds of processor time');
});

test('a file of more words and marks than any configuration is refused before it is understood', () => {
  assert.match(
    parsed(`interface: eth0\n${'\n'.repeat(2_500_000)}`),
    /^FILE: expected a configuration, got more than 2500000 words and marks \(line 24\d+, column 1\)$/,
  );
});

test('of thousands of problems the first hundred are shown, and all counted', () => {
  const lines = parsed(`${GOOD}${Array.from({ length: 5000 }, (_, i) => `key${i}: 1\n`).join('')}`).split('\n');
  assert.equal(lines.length, 102);
  assert.match(lines[0], /^FILE: 5000 problems$/);
  assert.match(lines[100], /^ {2}key99: expected one of the keys /);
  assert.equal(lines[101], '  and 4900 more');
});

test('an alias to itself is no endless loop', () => {
  assert.match(parsed('interface: &a [*a]\nservices: *a\n'), /^FILE: \d+ problems|^FILE: not valid YAML/);
});

test('files that cannot be read make one line', () => {
  const path = (name: string) => join(directory, name);
  const read = (file: string) => messageOf(() => readConfigFile(file)).replaceAll(directory, '');
  assert.equal(read(path('missing.yaml')), '/missing.yaml: no such file');
  assert.equal(read(''), "'': no such file");
  assert.equal(read('a\0b'), 'a\0b: no such file');
  assert.equal(read(path('x'.repeat(300))), `/${'x'.repeat(300)}: the name is too long for a file`);
  writeFileSync(path('file'), GOOD);
  assert.equal(read(path('file/hushlb.yaml')), '/file/hushlb.yaml: no such file');
  mkdirSync(path('folder'));
  assert.equal(read(path('folder')), '/folder: expected a file, got a directory');
  assert.equal(read('/dev/null'), '/dev/null: expected a file, got a device or pipe');
  execFileSync('mkfifo', [path('fifo')]);
  assert.equal(read(path('fifo')), '/fifo: expected a file, got a device or pipe');
  writeFileSync(path('big'), '#'.repeat(10 * 2 ** 20));
  assert.equal(read(path('big')), '/big: expected at most 8 MiB, got 10.0 MiB');
  writeFileSync(path('latin1'), Buffer.from('interface: \xe4\n', 'latin1'));
  assert.equal(read(path('latin1')), '/latin1: expected text in UTF-8, got other bytes');
  writeFileSync(path('empty'), '');
  assert.equal(read(path('empty')), '/empty: expected a configuration, got an empty file');
});
