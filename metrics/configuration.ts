/** Metrics of the configuration: what runs, how it came to that, and what balancers of a VIP must agree on. */
import type { Metric } from './metric.ts';

export const CONFIGURATION_METRICS: readonly Metric[] = [
  {
    name: 'hushlb_config_generation',
    type: 'gauge',
    labels: [],
    help: 'Number of the forwarding state that runs: one more with each change of configuration, health or next hops.',
    means: 'Log lines and answers of changes name the generation that they made. It starts at 1 with every process.',
    moves:
      'A step with a change is how it works. Steps all the time: backends flap, or their next hops do; the log says which.',
    samples: ({ configuration }) => [[{}, configuration().generation]],
  },
  {
    name: 'hushlb_config_last_change_timestamp_seconds',
    type: 'gauge',
    labels: [],
    help: 'When the configuration that runs was taken over, in seconds since 1970; at first the start.',
    means: 'Reloads and changes at run time; not health, nor next hops.',
    moves: 'Lay it over other graphs (the dashboard does): what moved right after a change, moved by it.',
    samples: ({ configuration }) => [[{}, configuration().lastChangeMs / 1000]],
  },
  {
    name: 'hushlb_config_changes_total',
    type: 'counter',
    labels: ['kind', 'result'],
    help: 'Changes that were asked for, by kind (reload, runtime) and result (applied, refused).',
    means: 'A refused one changed nothing.',
    moves: '`refused`: the log says why, with the id of the change: `reload refused, nothing changed`.',
    samples: ({ configuration }) =>
      configuration().changes.map(({ kind, result, count }) => [{ kind, result }, count] as const),
  },
  {
    name: 'hushlb_config_last_reload_successful',
    type: 'gauge',
    labels: [],
    help: 'Whether the last reload was taken over; 1 before the first.',
    means: '0: the file does not say what runs, and a restart would read a file that was refused.',
    moves: 'To 0: `hushlb check -c FILE`, mend the file, reload ([operations.md](operations.md#a-reload-was-refused)).',
    samples: ({ configuration }) => [[{}, configuration().lastReloadGood ? 1 : 0]],
  },
  {
    name: 'hushlb_config_unsaved_changes',
    type: 'gauge',
    labels: [],
    help: 'Changes at run time that run and are in no file: a restart or a reload loses them.',
    means: 'Made by `hushlb drain`, `weight`, `add` and their like since the last `hushlb save` or reload.',
    moves: 'For longer than the work that it belongs to: `hushlb save`, or reload to undo them.',
    samples: ({ configuration }) => [[{}, configuration().unsaved]],
  },
  {
    name: 'hushlb_service_info',
    type: 'gauge',
    labels: ['service', 'vip', 'protocol', 'port', 'scheduler', 'hash', 'on_miss', 'on_expiry'],
    help: 'Always 1: what each service is for, what of a flow is hashed, and what forgotten connections meet.',
    means: 'Balancers of a VIP must have the same of it; `hushlb agree` compares.',
    moves: 'Only by a change of the configuration. `scheduler="round-robin"`: no two balancers agree on a flow.',
    samples: ({ configuration }) =>
      configuration().services.map(({ service, vip, protocol, port, scheduler, hash, onMiss, onExpiry }) => {
        const labels = { service, vip, protocol, port, scheduler, hash, on_miss: onMiss, on_expiry: onExpiry };
        return [labels, 1] as const;
      }),
  },
  {
    name: 'hushlb_lookup_table_info',
    type: 'gauge',
    labels: ['service', 'fingerprint', 'table_size'],
    help: 'Always 1. Balancers with equal fingerprints send the same flow to the backend of the same name.',
    means: 'The table that new connections are looked up in, backends that are down left out.',
    moves:
      'It changes with backends, weights, drains and health. Balancers of a VIP that differ for longer than a roll-out takes: `hushlb agree HOST…`, then [operations.md](operations.md#balancers-disagree).',
    samples: ({ tables }) =>
      tables().map(
        ({ service, fingerprint, tableSize }) => [{ service, fingerprint, table_size: tableSize }, 1] as const,
      ),
  },
  {
    name: 'hushlb_hash_seed_info',
    type: 'gauge',
    labels: ['check'],
    help: 'Always 1: 8 bits made of hashSeed. Where they differ, balancers hash differently.',
    means:
      'Unequal: the seeds differ. Equal: they are most likely the same, one of 256 wrong seeds would not be noticed. It is so short because whoever reads metrics must not learn the seed ([decision 9](decisions/0009-comparing-balancers.md)).',
    moves: 'Only by a restart with another `hashSeed`.',
    samples: ({ configuration }) => [[{ check: configuration().seedCheck }, 1]],
  },
  {
    name: 'hushlb_backend_info',
    type: 'gauge',
    labels: ['service', 'backend', 'address'],
    help: 'Always 1: where a backend is. The lookup table knows it by its name alone.',
    means:
      'Balancers whose tables have equal fingerprints send a flow to the backend of the same name: to the same host only where the addresses are equal, too. `hushlb agree` compares them.',
    moves:
      'Only by a change of the configuration. A backend with several addresses: [balancers disagree](operations.md#balancers-disagree).',
    samples: ({ configuration }) =>
      configuration().services.flatMap(({ service, backends }) =>
        backends.map(({ backend, address }) => [{ service, backend, address }, 1] as const),
      ),
  },
  {
    name: 'hushlb_backend_slots',
    type: 'gauge',
    labels: ['service', 'backend'],
    help: "Slots of the service's lookup table that lead to a backend.",
    means: "The backend's share of new connections is its slots by those of the service. None: it drains or is down.",
    moves: 'With weights, drains and health. Shares should be those of the weights to within a percent.',
    samples: ({ tables }) =>
      tables().flatMap(({ service, slots }) =>
        slots.map(({ backend, count }) => [{ service, backend }, count] as const),
      ),
  },
  {
    name: 'hushlb_backend_draining',
    type: 'gauge',
    labels: ['service', 'backend'],
    help: 'Whether the configuration has the backend draining: it keeps its connections and gets no new ones.',
    means: 'What people want of it (`state: draining`, `hushlb drain`), whatever health checks say.',
    moves: '1 for longer than the work on the backend: `hushlb undrain SERVICE BACKEND`.',
    samples: ({ configuration }) =>
      configuration().services.flatMap(({ service, backends }) =>
        backends.map(({ backend, draining }) => [{ service, backend }, draining ? 1 : 0] as const),
      ),
  },
];
