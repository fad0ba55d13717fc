/**
 * What the numbers of connection tables mean in the configuration in force: workers know the number of a table and the index of
 * a backend, people know names. On the main thread, for lb/observations.ts and lb/entry-query.ts.
 */
import type { Prepared } from './prepare.ts';

export interface TableNames {
  /** Undefined where the service of that table has gone. */
  service(connections: number): { readonly name: string; readonly isIpv6: boolean } | undefined;
  /** Removed backends have their names for as long as entries may say their index. */
  backend(connections: number, index: number): string | undefined;
}

export function tableNames({ config, places }: Prepared): TableNames {
  const byConnections = new Map(places.services.map((place, i) => [place.connections, { place, i }]));
  return {
    service(connections) {
      const known = byConnections.get(connections);
      return known && { name: known.place.name, isIpv6: config.services[known.i].vip.includes(':') };
    },
    backend(connections, index) {
      const place = byConnections.get(connections)?.place;
      return place && [...place.backends, ...place.retired].find((backend) => backend.index === index)?.name;
    },
  };
}
