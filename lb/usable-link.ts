/**
 * Whether an interface can be balanced on, and if not, what to do. Asked at the start (lb/daemon.ts, cli/decap.ts) and when it comes
 * back (lb/path-keeper.ts).
 */
import { type Link, readLink, readLinks } from '../io/links.ts';
import { HushlbError } from './errors.ts';

export type UsableLink = Link & { readonly mac: Uint8Array };

/** Throws HushlbError. */
export function findLink(name: string): UsableLink {
  const link = readLink(name);
  if (link === undefined) throw missingLink(name);
  const why = whyUnusable(name, link);
  if (why !== undefined) throw new HushlbError(link.up ? 'INTERFACE_UNFIT' : 'INTERFACE_DOWN', why);
  return link as UsableLink;
}

/** Names those that are there. */
export function missingLink(name: string): HushlbError {
  const names = readLinks().map((known) => known.name);
  return new HushlbError('INTERFACE_MISSING', `interface ${name} does not exist; this host has ${names.join(', ')}`);
}

/** Undefined where it can be used: it is a `UsableLink` then. */
export function whyUnusable(name: string, link: Link | undefined): string | undefined {
  if (link === undefined) return `interface ${name} does not exist`;
  if (!link.up) return `interface ${name} is down: ip link set ${name} up`;
  if (link.mac === undefined) return `interface ${name} has no MAC address: hushlb needs an Ethernet interface`;
  return undefined;
}
