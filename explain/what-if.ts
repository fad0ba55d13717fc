/**
 * What could be otherwise, for explain/explain.ts: another configuration, changes of it as `hushlb drain` and its like make
 * them (lb/edit.ts), backends that health checks find down, an entry that the connection table has forgotten. Several at once
 * are one what-if.
 */
import type { Change as ConfigChange } from '../lb/change.ts';
import type { Config } from '../lb/config.ts';
import { parseConfig } from '../lb/config-file.ts';
import { backendIndex, editText, serviceIndex } from '../lb/edit.ts';
import { backendKey, type Down } from '../lb/service-table.ts';

/** Of a backend, `b2` of the flow's own service or `web/b2`. */
export type BackendEdit =
  | { readonly kind: 'remove' | 'drain' | 'undrain'; readonly backend: string }
  | { readonly kind: 'weight'; readonly backend: string; readonly weight: number };

export interface WhatIf {
  /** Another configuration, whole; `name` is what it is called in answers, the file's. */
  readonly config?: { readonly name: string; readonly text: string } | undefined;
  readonly edits?: readonly BackendEdit[] | undefined;
  /** Health checks find these backends down. */
  readonly down?: readonly string[] | undefined;
  /** The table has forgotten the connection. */
  readonly expired?: boolean | undefined;
}

/** As people say it, one for each thing that is otherwise; empty where nothing is. */
export function whatIfTexts({ config, edits = [], down = [], expired = false }: WhatIf): string[] {
  return [
    ...(config === undefined ? [] : [`with ${config.name}`]),
    ...edits.map(editPhrase),
    ...down.map((backend) => `${backend} is down`),
    ...(expired ? ['the table has forgotten it'] : []),
  ];
}

function editPhrase(edit: BackendEdit): string {
  switch (edit.kind) {
    case 'remove':
      return `without ${edit.backend}`;
    case 'drain':
      return `${edit.backend} drains`;
    case 'undrain':
      return `${edit.backend} is active`;
    case 'weight':
      return `${edit.backend} weighs ${edit.weight}`;
  }
}

/** What the configuration and the health would be. `service` is the flow's; backends of others are named with theirs. */
export function changedBy(
  { edits = [], down = [] }: WhatIf,
  base: { readonly text: string; readonly config: Config; readonly down: Down },
  service: string,
): { config: Config; down: Down } {
  let { text, config } = base;
  for (const edit of edits) {
    const owned = { ...edit, ...ownerOf(edit.backend, service) } satisfies ConfigChange;
    const edited = parseConfig(editText(text, config, owned), 'what if');
    text = edited.text;
    config = edited.config;
  }
  const downNow = new Set(base.down);
  for (const name of down) {
    const { service: owner, backend } = ownerOf(name, service);
    backendIndex(config, serviceIndex(config, owner), backend);
    downNow.add(backendKey(owner, backend));
  }
  return { config, down: downNow };
}

/** Whose backend it is: `service`'s where the name doesn't say. Names have no slash. */
export function ownerOf(name: string, service: string): { service: string; backend: string } {
  const slash = name.indexOf('/');
  return slash < 0 ? { service, backend: name } : { service: name.slice(0, slash), backend: name.slice(slash + 1) };
}
