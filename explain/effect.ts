/**
 * What a change would do to one connection: explain/explain.ts compares what is with what would be.
 */
import type { BackendFacts, Explanation } from './explanation.ts';

export interface Effect {
  /** Null where it is not known: round-robin. */
  readonly sameBackend: boolean | null;
  /** Whether a connection under way would be lost, null where it is not known. */
  readonly breaks: boolean | null;
  /** One sentence without a full stop. */
  readonly why: string;
}

/** What the client of a packet that is not forwarded gets instead. */
const INSTEAD: Readonly<Record<string, string>> = {
  reset: 'hushlb answers RST',
  drop: 'its packets are dropped, and the client waits',
  pass: "its packets are left to the balancer's own host",
};

export function effectOf(now: Explanation, would: Explanation, opens: boolean, isTcp: boolean): Effect {
  const sameBackend = isSame(now, would);
  const told = (breaks: boolean | null, why: string): Effect => ({ sameBackend, breaks, why });
  if (opens) return told(false, openingText(now, would, sameBackend));
  if (now.verdict !== 'forward') return told(false, `nothing to lose: it is not forwarded now (${now.reason})`);
  if (would.verdict !== 'forward')
    return told(true, `${INSTEAD[would.verdict] ?? 'it is not forwarded'} (${would.reason})`);
  if (sameBackend === null) return told(null, 'round-robin gives it to whoever has the next turn');
  if (!sameBackend) return told(true, `${strangerText(now.backend, would.backend)}${isTcp ? ' and answers RST' : ''}`);
  const encaps = [now.outer?.encap, would.outer?.encap];
  if (encaps[0] !== encaps[1]) {
    return told(false, `the same backend, if it takes off ${encaps[1]} as it takes off ${encaps[0]} now`);
  }
  return told(false, 'the same backend');
}

/** The same host: a backend with another address is another one, whatever it is called. */
function isSame({ backend: before, ...now }: Explanation, { backend: after, ...would }: Explanation): boolean | null {
  if (now.anyOf.length > 0 || would.anyOf.length > 0) return null;
  return before?.address === after?.address;
}

function strangerText(before: BackendFacts | null, after: BackendFacts | null): string {
  if (before?.name === after?.name) return `${after?.name} is another host then, which does not know it`;
  return `another backend: ${after?.name} does not know it`;
}

function openingText(now: Explanation, would: Explanation, sameBackend: boolean | null): string {
  if (would.verdict !== 'forward') return `a new connection, which is not forwarded then (${would.reason})`;
  if (now.verdict !== 'forward') return 'a new connection, which is not forwarded now';
  if (sameBackend === null) return 'a new connection, given to whoever has the next turn';
  return sameBackend ? 'a new connection, to the same backend' : `a new connection, to ${would.backend?.name} then`;
}
