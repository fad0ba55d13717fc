/**
 * Of a running balancer, only what a question can be about: the services of the flow's VIP, and those that a what-if names.
 * A thousand others would have their part of a forwarding state built and their lines of a file read for every question, on
 * the main thread. Called by admin/explain-routes.ts.
 */
import type { Config } from '../lb/config.ts';
import { type Prepared, withServices } from '../lb/prepare.ts';
import { ownerOf, type WhatIf } from './what-if.ts';

/** What runs: prepared, and parsed as `CheckedConfig` has it. */
export interface Whole {
  readonly prepared: Prepared;
  readonly data: unknown;
}

export interface Narrowed {
  readonly prepared: Prepared;
  readonly config: Config;
  /** Says `config`, in YAML's JSON. */
  readonly text: string;
}

/** Keeps one service at least. What it makes `explain` refuse, the whole has better words for: all names, and right numbers. */
export function narrowed({ prepared, data }: Whole, vip: string, { edits = [], down = [] }: WhatIf): Narrowed {
  const { services } = prepared.config;
  const named = new Set([...edits.map(({ backend }) => backend), ...down].map((name) => ownerOf(name, '').service));
  const indexes = services.flatMap((service, i) => (service.vip === vip || named.has(service.name) ? [i] : []));
  if (indexes.length === 0) indexes.push(0);

  const rest = withServices(prepared, indexes);
  const file = data as { readonly services: readonly unknown[] };
  const text = JSON.stringify({ ...file, services: indexes.map((i) => file.services[i]) });
  return { prepared: rest, config: rest.config, text };
}
