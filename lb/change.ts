/**
 * What can be changed of a running balancer, as data: the admin API takes one, the command line sends one, a signal or the
 * watched file asks for a reload. lb/edit.ts makes it a change of the configuration, lb/control-plane.ts carries it out.
 */
import type { Mode } from './behaviour.ts';
import type { Changes } from './changes.ts';
import type { Scheduler } from './config.ts';

export type Change =
  | { readonly kind: 'reload' }
  | { readonly kind: 'drain' | 'undrain' | 'remove'; readonly service: string; readonly backend: string }
  | { readonly kind: 'weight'; readonly service: string; readonly backend: string; readonly weight: number }
  | { readonly kind: 'add'; readonly service: string; readonly backend: NewBackend }
  | { readonly kind: 'mode'; readonly mode: Mode }
  | { readonly kind: 'scheduler'; readonly service: string; readonly scheduler: Scheduler };

/** As in a file: what is left out takes its default. */
export interface NewBackend {
  readonly name: string;
  readonly address: string;
  readonly weight?: number | undefined;
  readonly serverId?: string | undefined;
}

export interface ChangeReport extends Changes {
  /** Stands in every log line and event of the change. */
  readonly id: string;
  /** `changeText` of it. */
  readonly change: string;
  readonly generation: number;
  /** What the new configuration says that may surprise. */
  readonly warnings: readonly string[];
  /** Changes at run time that a reload has undone, because the file never had them. */
  readonly lost: readonly string[];
  /** Changes that runs have and the file has not, this one among them. */
  readonly unsaved: readonly string[];
}

/** As it is typed on the command line: `drain web b2`, `weight web b1 3`. */
export function changeText(change: Change): string {
  switch (change.kind) {
    case 'reload':
      return 'reload';
    case 'mode':
      return `mode ${change.mode}`;
    case 'scheduler':
      return `scheduler ${change.service} ${change.scheduler}`;
    case 'add':
      return `add ${change.service} ${change.backend.name} ${change.backend.address}`;
    case 'weight':
      return `weight ${change.service} ${change.backend} ${change.weight}`;
    default:
      return `${change.kind} ${change.service} ${change.backend}`;
  }
}
