/**
 * Hints at a backend's firewall, from the text of `nft list ruleset`. Whether a rule matches nobody can say without the
 * packet, so these are notes, and a warning where a rule names the tunnel's protocol.
 */
import { type Finding, tell } from './finding.ts';
import type { Target } from './target.ts';

const { note, warning } = tell('firewall');

/** As nft prints them behind `ip protocol` and `meta l4proto`. */
const PROTOCOL_NAMES: Record<string, string> = { ipip: 'ipip|4|ipencap', gre: 'gre|47' };

interface Chain {
  readonly table: string;
  readonly chain: string;
  readonly lines: readonly string[];
  readonly drops: boolean;
}

/** `stripped`: headers are off before the firewall looks, as with `hushlb decap`. */
export function judgeFirewall(ruleset: string | undefined, targets: readonly Target[], stripped: boolean): Finding[] {
  if (ruleset === undefined) return [];
  const chains = inputChains(ruleset);
  const findings: Finding[] = [];
  for (const encap of stripped ? [] : new Set(targets.map((target) => target.encap))) {
    const names = PROTOCOL_NAMES[encap];
    if (names === undefined) continue;
    const drop = new RegExp(`\\b(protocol|l4proto|nexthdr) (${names})\\b.*\\b(drop|reject)\\b`);
    const rule = chains.flatMap(({ lines }) => lines).find((line) => drop.test(line));
    if (rule !== undefined) {
      findings.push(
        warning('firewall-drops', `a rule of nftables drops ${encap}: ${rule}`, 'that is what the balancer sends', [
          'nft -a list ruleset',
        ]),
      );
    }
  }
  for (const { table, chain, drops } of findings.length > 0 ? [] : chains) {
    if (!drops) continue;
    const [first] = targets;
    const match =
      stripped || first.encap === 'l2' ? `${first.protocol} dport ${first.ports.first}` : `meta l4proto ${first.encap}`;
    findings.push(
      note(
        'firewall-policy',
        `nftables drops what no rule of ${table} ${chain} accepts`,
        "the balancer's packets need one that does; this adds it, if it is not there",
        [`nft insert rule ${table} ${chain} ${match} accept`],
      ),
    );
  }
  return findings;
}

function inputChains(ruleset: string): Chain[] {
  const chains: Chain[] = [];
  for (const table of ruleset.split(/^table /m).slice(1)) {
    const name = table.slice(0, table.indexOf(' {'));
    for (const part of table.split(/^\tchain /m).slice(1)) {
      const lines = part.split('\n').map((line) => line.trim());
      const [head] = lines;
      const hook = lines.find((line) => line.includes(' hook input '));
      if (hook === undefined) continue;
      chains.push({ table: name, chain: head.replace(/ \{.*/, ''), lines, drops: hook.includes('policy drop') });
    }
  }
  return chains;
}
