/** What doctor makes of a backend's nftables, row by row. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { judgeFirewall } from '../../doctor/firewall.ts';
import type { Target } from '../../doctor/target.ts';
import { gist } from './gist.ts';
import { TARGET } from './target.ts';

const L2: Target = { ...TARGET, encap: 'l2', overhead: 0 };
const VIP6: Target = { ...TARGET, vip: '2001:db8:10::1' };

describe('firewall', () => {
  const ruleset = (policy: string, rule = 'ct state established accept') =>
    `table inet filter {\n\tchain input {\n\t\ttype filter hook input priority filter; policy ${policy};\n\t\t${rule}\n\t}\n\n\tchain output {\n\t\ttype filter hook output priority filter; policy drop;\n\t}\n}\n`;
  const insert = 'nft insert rule inet filter input';
  const gue: Target = { ...TARGET, encap: 'gue', guePort: 6081 };
  const rows: [name: string, ruleset: string | undefined, target: Target, stripped: boolean, expected: string[]][] = [
    ['unseen', undefined, TARGET, false, []],
    ['open', ruleset('accept'), TARGET, false, []],
    [
      'closed',
      ruleset('drop'),
      TARGET,
      false,
      [`note firewall-policy | ${insert} meta l4proto 4 accept | ${insert} tcp dport 80 accept`],
    ],
    [
      'closed but for the tunnel',
      ruleset('drop', 'meta l4proto 4 accept'),
      TARGET,
      false,
      [`note firewall-policy | ${insert} tcp dport 80 accept`],
    ],
    [
      'closed, headers are off',
      ruleset('drop'),
      TARGET,
      true,
      [`note firewall-policy | ${insert} tcp dport 80 accept`],
    ],
    ['closed but for the port', ruleset('drop', 'tcp dport 80 counter packets 1 bytes 60 accept'), TARGET, true, []],
    ['closed, without headers', ruleset('drop'), L2, false, [`note firewall-policy | ${insert} tcp dport 80 accept`]],
    [
      'closed, IPv6 in IP',
      ruleset('drop', 'tcp dport 80 accept'),
      VIP6,
      false,
      [`note firewall-policy | ${insert} meta l4proto 41 accept`],
    ],
    [
      'closed, GUE and a range',
      ruleset('drop'),
      { ...gue, ports: { first: 80, last: 90 } },
      false,
      [`note firewall-policy | ${insert} udp dport 6081 accept | ${insert} tcp dport 80-90 accept`],
    ],
    [
      'a rule against it',
      ruleset('accept', 'ip protocol 4 counter packets 9 bytes 720 drop'),
      TARGET,
      false,
      ['warning firewall-drops | nft -a list ruleset'],
    ],
    [
      'a rule against GUE',
      ruleset('accept', 'udp dport 6081 drop'),
      gue,
      false,
      ['warning firewall-drops | nft -a list ruleset'],
    ],
    ['a rule against another', ruleset('accept', 'ip protocol 47 drop'), TARGET, false, []],
  ];
  for (const [name, text, target, stripped, expected] of rows) {
    test(name, () => assert.deepEqual(gist(judgeFirewall(text, [target], stripped)), expected));
  }
});
