/** Services with a place each for the counters of tests: places are numbers in order, and there is room for no more. */
import type { CounterPlaces, CounterRoom } from '../../metrics/counters.ts';

interface Named {
  readonly name: string;
}

export function numbered(services: readonly (Named & { readonly backends: readonly Named[] })[]): {
  services: CounterPlaces[];
  room: CounterRoom;
} {
  let place = 0;
  const placed = services.map(({ name, backends }, i) => ({
    name,
    place: i,
    backends: backends.map((backend) => ({ name: backend.name, place: place++ })),
  }));
  return { services: placed, room: { services: services.length, backends: place } };
}
