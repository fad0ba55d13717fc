/** What is read back out of a scrape, and who is told to disagree with whom. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type BalancerView, compareBalancers, viewOf } from '../../metrics/agreement.ts';
import { readSamples } from '../../metrics/read-exposition.ts';

interface Told {
  readonly seed?: string;
  readonly services?: Readonly<
    Record<string, Partial<Record<'vip' | 'hash' | 'scheduler' | 'size' | 'table' | 'b1', string>>>
  >;
}

/** A scrape, written by hand in the order of another exporter. */
function told(name: string, { seed = 'c4', services = { web: {} } }: Told = {}): BalancerView {
  const lines = Object.entries(services).flatMap(([service, given]) => {
    const { vip = '198.18.10.1', hash = 'source-ip', scheduler = 'maglev', size = '7', table = 'aa' } = given;
    const backend =
      given.b1 === undefined ? [] : [`hushlb_backend_info{address="${given.b1}",backend="b1",service="${service}"} 1`];
    return [
      ...backend,
      `hushlb_lookup_table_info{table_size="${size}",fingerprint="${table}",service="${service}"} 1`,
      `hushlb_service_info{service="${service}",vip="${vip}",protocol="tcp",port="80",scheduler="${scheduler}",hash="${hash}"} 1`,
    ];
  });
  const text = `# HELP hushlb_build_info x\nhushlb_build_info{version="1"} 1\nhushlb_hash_seed_info{check="${seed}"} 1\n${lines.join('\n')}\n`;
  const view = viewOf(name, text);
  assert.ok(view !== undefined);
  return view;
}

test('samples as the text format writes them: escapes, time stamps, values, no labels', () => {
  const text = [
    '# TYPE a counter',
    'a{x="1",y="q\\"uote \\\\ and\\nline",} 3.5 1395066363000',
    'a 1e3',
    'ab{x="2"} 4',
    'b{x="} 5 {"} +Inf',
    'a{broken 7',
    '',
  ].join('\n');
  const samples = readSamples(text, new Set(['a', 'b']));
  assert.deepEqual(
    samples.map(({ name, labels, value }) => [name, Object.fromEntries(labels), value]),
    [
      ['a', { x: '1', y: 'q"uote \\ and\nline' }, 3.5],
      ['a', {}, 1000],
      ['b', { x: '} 5 {' }, Number.NaN],
    ],
  );
});

test('what is not hushlb is not taken for it', () => {
  assert.equal(viewOf('lb1', 'up 1\n'), undefined);
  assert.equal(viewOf('lb1', '<html>'), undefined);
});

test('equal balancers agree, whatever else they expose and in whatever order', () => {
  const services = { web: { table: 'aa' }, api: { table: 'bb' } };
  const turned = { api: { table: 'bb' }, web: { table: 'aa' } };
  assert.deepEqual(compareBalancers([told('lb1', { services }), told('lb2', { services: turned })]), []);
});

test('who disagrees, and on what', () => {
  const found = compareBalancers([
    told('lb1'),
    told('lb2', { services: { web: { table: 'bb' } } }),
    told('lb3', { seed: '00', services: { web: {}, api: {} } }),
  ]);
  assert.deepEqual(found, [
    {
      service: null,
      what: 'hash seed',
      values: [
        { value: 'c4', balancers: ['lb1', 'lb2'] },
        { value: '00', balancers: ['lb3'] },
      ],
    },
    {
      service: 'api',
      what: 'service',
      values: [
        { value: null, balancers: ['lb1', 'lb2'] },
        { value: 'there', balancers: ['lb3'] },
      ],
    },
    {
      service: 'web',
      what: 'lookup table',
      values: [
        { value: 'aa', balancers: ['lb1', 'lb3'] },
        { value: 'bb', balancers: ['lb2'] },
      ],
    },
  ]);
});

test('a table size explains the table; VIP and hash are compared too', () => {
  const found = compareBalancers([
    told('lb1'),
    told('lb2', { services: { web: { size: '251', table: 'bb', hash: 'five-tuple', vip: '198.18.10.2' } } }),
  ]);
  assert.deepEqual(
    found.map(({ what }) => what),
    ['VIP', 'hash', 'table size'],
  );
});

test('round-robin agrees with nobody, not even with itself', () => {
  const services = { web: { scheduler: 'round-robin' } };
  const [{ what, values }, ...others] = compareBalancers([told('lb1', { services }), told('lb2', { services })]);
  assert.deepEqual(
    { what, values, others },
    {
      what: 'scheduler',
      values: [{ value: 'round-robin', balancers: ['lb1', 'lb2'] }],
      others: [],
    },
  );
});

test('a backend of one name and two addresses is two hosts; who has it not says nothing of that', () => {
  const at = (name: string, b1: string) => told(name, { services: { web: { b1 } } });
  assert.deepEqual(compareBalancers([at('lb1', '198.18.2.1'), told('lb2'), at('lb3', '198.18.2.1')]), []);
  assert.deepEqual(compareBalancers([at('lb1', '198.18.2.1'), at('lb2', '198.18.2.9'), at('lb3', '198.18.2.1')]), [
    {
      service: 'web',
      what: 'address of b1',
      values: [
        { value: '198.18.2.1', balancers: ['lb1', 'lb3'] },
        { value: '198.18.2.9', balancers: ['lb2'] },
      ],
    },
  ]);
});
