/**
 * Hints at a backend's firewall, from the text of `nft list ruleset`. Whether a rule matches nobody can say without the
 * packet, so these are notes, and a warning where a rule names the tunnel's protocol.
 */
import { type Finding, tell } from './finding.ts';
import { isIpv6, type Target } from './target.ts';

const { note, warning } = tell('firewall');

/** IP protocols of tunnels, by the family of what is in them (RFC 2003, RFC 2473, RFC 2784). */
const IPIP = { 4: 4, 6: 41 } as const;
const GRE = 47;

interface Chain {
  readonly table: string;
  readonly chain: string;
  readonly lines: readonly string[];
  readonly drops: boolean;
}

/**
 * `ruleset` with numbers in place of names, which mean other protocols here and there. `stripped`: headers are off before the
 * firewall looks, as with `hushlb decap`.
 */
export function judgeFirewall(ruleset: string | undefined, targets: readonly Target[], stripped: boolean): Finding[] {
  if (ruleset === undefined) return [];
  const chains = inputChains(ruleset);
  const lines = chains.flatMap((chain) => chain.lines);
  const headed = stripped ? [] : targets.filter(({ encap }) => encap !== 'l2');
  const tunnels = new Map(headed.map((target) => [tunnelMatch(target), target.encap]));
  const dropped = [...tunnels].flatMap(([match, encap]) => {
    const words = match.replace('meta l4proto', '(protocol|l4proto|nexthdr)');
    const drop = new RegExp(`\\b${words}\\b.*\\b(drop|reject)\\b`);
    const rule = lines.find((line) => drop.test(line));
    return rule === undefined
      ? []
      : [
          warning('firewall-drops', `a rule of nftables drops ${encap}: ${rule}`, 'that is what the balancer sends', [
            'nft -a list ruleset',
          ]),
        ];
  });
  if (dropped.length > 0) return dropped;
  const matches = [...tunnels.keys(), ...new Set(targets.map(innerMatch))];
  return chains.flatMap(({ table, chain, drops, lines: rules }) => {
    const missing = matches.filter((match) => !rules.some((line) => line.includes(match) && / accept\b/.test(line)));
    if (!drops || missing.length === 0) return [];
    return [
      note(
        'firewall-policy',
        `nftables drops what no rule of ${table} ${chain} accepts`,
        `${stripped || tunnels.size === 0 ? "clients' packets need" : "the balancer's packets, and what is in them, need"} rules that do; this adds them`,
        missing.map((match) => `nft insert rule ${table} ${chain} ${match} accept`),
      ),
    ];
  });
}

/** What the headers are, as nft takes it and prints it. */
function tunnelMatch({ encap, vip, guePort }: Target): string {
  if (encap === 'gue') return `udp dport ${guePort ?? 6080}`;
  return `meta l4proto ${encap === 'gre' ? GRE : IPIP[isIpv6(vip) ? 6 : 4]}`;
}

/** What is in them. */
function innerMatch({ protocol, ports: { first, last } }: Target): string {
  return `${protocol} dport ${first === last ? first : `${first}-${last}`}`;
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
